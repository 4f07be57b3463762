"""Look into the LSTM policy of a reinforcement-learning library, sb3-contrib, without a change to the library.

Its agent RecurrentPPO plays a game that needs memory: a signal shown at the first step is asked for at the last one.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.env_util import make_vec_env

import gatewise as gw

DELAY, NUM_GAMES = 30, 8  # steps from the signal to the question; games played at the same time
NUM_STEPS = DELAY + 1


class Recall(gymnasium.Env):
    """Signal +1 or -1, silence, and at last a bell: press the button of the signal."""

    observation_space, action_space = Box(-1, 1, (2,), np.float32), Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.button, self.time = int(self.np_random.integers(2)), 0
        return np.array([2 * self.button - 1, 0], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        is_over = self.time == DELAY
        self.time += 1
        bell = float(self.time == DELAY)
        return np.array([0, bell], np.float32), float(is_over and action == self.button), is_over, False, {}


agent = RecurrentPPO(
    "MlpLstmPolicy",
    make_vec_env(Recall, NUM_GAMES, seed=0),
    n_steps=NUM_STEPS,
    batch_size=NUM_GAMES * NUM_STEPS,
    gamma=1.0,
    policy_kwargs={"lstm_hidden_size": 32, "net_arch": []},
    seed=0,
)
policy = agent.policy

# Four games in the form in which the library hands them to its policy: one after the other, with a mark at each start.
observations = torch.zeros(4, NUM_STEPS, 2)
observations[:, 0, 0], observations[:, -1, 1] = torch.tensor([1.0, -1.0, 1.0, -1.0]), 1.0
starts = torch.zeros(4, NUM_STEPS)
starts[:, 0] = 1
zeros = torch.zeros(1, 4, 32)
games = (observations.flatten(0, 1), RNNStates((zeros, zeros), (zeros, zeros)), starts.flatten())


def loss_fn(output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Read the last step alone, as the game does: the value there, and how likely the action taken was."""
    _, values, log_prob, _ = output
    return (values.view(4, -1)[:, -1] - 1).square().mean() - log_prob.view(4, -1)[:, -1].mean()


before = policy.predict_values(games[0], games[1].vf, games[2])
print(gw.accelerate(policy))
after = policy.predict_values(games[0], games[1].vf, games[2])
print(f"values agree to {(after - before).abs().max().item():.0e}")

print(gw.flow.diagnose(policy, games, loss_fn, needed_lag=DELAY))
gw.nn.init.chrono_(policy.lstm_actor, t_max=DELAY + 1)  # what it advises; the critic keeps its initial weights

with gw.flow.Monitor(policy, every=10, needed_lag=DELAY) as monitor:
    agent.learn(5 * NUM_GAMES * NUM_STEPS)
for record in monitor.records:
    actor, critic = (record.scalars[f"lstm_{part}/l0/horizon"] for part in ("actor", "critic"))
    print(f"training step {record.step:2d}: horizon {actor:.0f} steps in the actor, {critic:.0f} in the critic")
