"""Every public name of `multiprocessing` and of what `mpservice` adds to it, one a line, sorted.

Run it with Python 3.11 and mpservice 0.16.8. `mp-facade/tests/parity/names.txt` keeps what it printed, and
`docs/parity.md` has a row for each line.

A module's names are those that it exports or, where it has no such list, defines; a class' names are those of an
instance where its constructor, or its start, makes some of them. Names with a leading underscore are nobody's business.
Of a class of `mpservice` only what it does not inherit from `multiprocessing` or `threading` is listed.

`MET` has what these rules leave out and programs come across all the same: it is in Python's manual, it is raised, or
it is what a call gives back.
"""

import importlib
import inspect
import multiprocessing
import os
import tempfile
from multiprocessing import connection, managers, pool, process, shared_memory

STANDARD = (
    "managers pool queues synchronize connection shared_memory sharedctypes process context reduction util dummy"
).split()
ADDED = "context managers pool queues remote_exception runner server_process synchronize".split()
MET = """
    connection.answer_challenge connection.deliver_challenge managers.BaseProxy._callmethod managers.BaseProxy._getvalue
    managers.Namespace managers.RemoteError managers.Server managers.Server.serve_forever pool.MapResult
    pool.MaybeEncodingError process.AuthenticationString sharedctypes.SynchronizedBase spawn.get_executable
""".split()
PROXIES = "List Dict Namespace Value Array Iterator Acquirer Condition Event Barrier Pool".split()


def names_of(value, base=object):
    """The public names of a module, class or instance, without those of `base`."""
    return [name for name in dir(value) if not name.startswith("_") and name not in dir(base)]


def names_of_module(module):
    """What a module exports or, without a list, defines."""
    listed = getattr(module, "__all__", None)
    if listed:
        return [name for name in listed if not name.startswith("_")]
    return [
        name
        for name in names_of(module)
        if getattr(getattr(module, name), "__module__", None) == module.__name__
        and type(getattr(module, name)).__name__ != "TypeVar"
    ]


def added_to(cls):
    """The public names of a class that are defined in `mpservice`."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("mpservice")]
    return {name for base in bases for name in vars(base) if not name.startswith("_")}


def standard_modules():
    """The names of the modules of `multiprocessing`."""
    for name in names_of(multiprocessing):
        is_listed = name in STANDARD or name in multiprocessing.__all__
        if is_listed or not inspect.ismodule(getattr(multiprocessing, name)):
            yield f"multiprocessing.{name}"
    for name in STANDARD:
        yield f"multiprocessing.{name}"
        module = importlib.import_module(f"multiprocessing.{name}")
        for inner in names_of_module(module):
            yield f"multiprocessing.{name}.{inner}"
    for name in MET:
        module, *rest = name.split(".")
        value = importlib.import_module(f"multiprocessing.{module}")
        for inner in rest:
            value = getattr(value, inner)
        yield f"multiprocessing.{name}"


def made_by_start(manager):
    """The public names that a manager has when it is started, and its class has not; the manager is ended again."""
    with manager:
        return set(names_of(manager, type(manager)))


def standard_classes(folder):
    """The names of the classes of `multiprocessing`, which may make files in `folder`."""
    spawn = multiprocessing.get_context("spawn")
    ends = spawn.Pipe()
    listener = connection.Listener(os.path.join(folder, "socket"))
    block = shared_memory.SharedMemory(create=True, size=8)
    items = shared_memory.ShareableList([1])
    classes = {
        "process.BaseProcess": spawn.Process(),
        "process.ParentProcess": process._ParentProcess("name", 1, ends[0].fileno()),
        "pool.Pool": pool.Pool,
        "pool.AsyncResult": pool.AsyncResult,
        "pool.IMapIterator": pool.IMapIterator,
        "queues.Queue": spawn.Queue(),
        "queues.JoinableQueue": spawn.JoinableQueue(),
        "queues.SimpleQueue": spawn.SimpleQueue(),
        "connection.Connection": ends[0],
        "connection.Listener": listener,
        "synchronize.Lock": spawn.Lock(),
        "synchronize.RLock": spawn.RLock(),
        "synchronize.Semaphore": spawn.Semaphore(),
        "synchronize.BoundedSemaphore": spawn.BoundedSemaphore(),
        "synchronize.Condition": spawn.Condition(),
        "synchronize.Event": spawn.Event(),
        "synchronize.Barrier": spawn.Barrier(1),
        "sharedctypes.Synchronized": spawn.Value("i"),
        "sharedctypes.SynchronizedArray": spawn.Array("i", 1),
        "sharedctypes.SynchronizedString": spawn.Array("c", 1),
        "shared_memory.SharedMemory": block,
        "shared_memory.ShareableList": items,
        "managers.BaseManager": managers.BaseManager,
        "managers.SyncManager": managers.SyncManager,
        "managers.SharedMemoryManager": managers.SharedMemoryManager,
        "context.BaseContext": spawn,
        "context.DefaultContext": multiprocessing.context.DefaultContext,
    }
    classes |= {f"managers.{kind}Proxy": getattr(managers, f"{kind}Proxy") for kind in PROXIES}
    bases = {
        "process.ParentProcess": None,
        "managers.SyncManager": managers.BaseManager,
        "managers.SharedMemoryManager": managers.BaseManager,
        "context.DefaultContext": multiprocessing.context.BaseContext,
    }
    for path, value in classes.items():
        if path != "process.ParentProcess":
            yield f"multiprocessing.{path}"
        names = set(names_of(value, bases.get(path) or object))
        if path == "process.ParentProcess":
            # The rest of what it has is inherited, and raises.
            names &= {*vars(process._ParentProcess), "name", "pid"}
        yield from (f"multiprocessing.{path}.{name}" for name in names)
    for name in made_by_start(managers.BaseManager(ctx=spawn)):
        yield f"multiprocessing.managers.BaseManager.{name}"
    for resource in (listener, block, items.shm, *ends):
        resource.close()
    block.unlink()
    items.shm.unlink()


def added():
    """The names of `mpservice`."""
    for path in [*(f"mpservice.multiprocessing.{name}" for name in ADDED), "mpservice.threading"]:
        module = importlib.import_module(path)
        for name in names_of_module(module):
            yield f"{path}.{name}"
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__ == path:
                yield from (f"{path}.{name}.{inner}" for inner in added_to(value))
            if inspect.isclass(value) and value.__module__ == path and issubclass(value, managers.BaseManager):
                yield from (f"{path}.{name}.{inner}" for inner in made_by_start(value()))
    root = importlib.import_module("mpservice.multiprocessing")
    yield from (f"mpservice.multiprocessing.{name}" for name in names_of_module(root))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        names = {*standard_modules(), *standard_classes(folder), *added()}
    print("\n".join(sorted(names)))
