"""Classical results of the field, run again here: each with its claim, its source, and the rule that judges it."""

from gatewise.yardsticks.arjovsky import Arjovsky
from gatewise.yardsticks.chung import Chung
from gatewise.yardsticks.engelken import Engelken
from gatewise.yardsticks.hochreiter_adding import HochreiterAdding
from gatewise.yardsticks.hochreiter_order import HochreiterOrder
from gatewise.yardsticks.jozefowicz import Jozefowicz
from gatewise.yardsticks.karpathy import Karpathy
from gatewise.yardsticks.le import Le
from gatewise.yardsticks.pascanu import Pascanu
from gatewise.yardsticks.tallec import Tallec
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, is_reproduced

__all__ = ["YARDSTICKS", "Criterion", "Numbers", "Theirs", "Yardstick", "is_reproduced"]

YARDSTICKS: dict[str, Yardstick] = {
    yardstick.name: yardstick
    for yardstick in (
        HochreiterAdding(),
        HochreiterOrder(),
        Pascanu(),
        Chung(),
        Jozefowicz(),
        Le(),
        Karpathy(),
        Arjovsky(),
        Tallec(),
        Engelken(),
    )
}
