from gatewise import cells as cells
from gatewise import flow as flow
from gatewise import nn as nn
from gatewise import tasks as tasks
from gatewise.nn import accelerate as accelerate
from gatewise.nn import record as record
from gatewise.nn import restore as restore
from gatewise.nn import selfcheck as selfcheck
from gatewise.nn import stream as stream
from gatewise.training import load as load

__version__: str
