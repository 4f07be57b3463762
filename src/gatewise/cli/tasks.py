"""`gatewise tasks`: what can be learned without bringing data."""

from __future__ import annotations

from gatewise.cli import options


def tasks(is_json: options.Json = False) -> None:
    """List the memory tasks and the built-in data."""
    import json

    from gatewise.data import BUILT_IN
    from gatewise.tasks import MEMORY_TASKS

    memory = {name: task_class().description for name, task_class in MEMORY_TASKS.items()}
    if is_json:
        print(json.dumps({"memory_tasks": memory, "built_in_data": BUILT_IN}, indent=1))
        return
    for title, entries in (("Memory tasks (--length sets the steps)", memory), ("Built-in data", BUILT_IN)):
        print(title)
        for name, description in entries.items():
            print(f"  {name:<16} {description}")
