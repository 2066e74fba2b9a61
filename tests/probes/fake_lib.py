class _S:
    pass
MISSING = object()
PAIR = (1, [2])
inst = _S()
class Holder:
    NOTSET = object()
class Plugin:
    registry = []
    def __init_subclass__(cls, name=None, **k):
        super().__init_subclass__(**k); Plugin.registry.append((name, cls))
CALLS = []
def decorate(f):
    def inner(*a): CALLS.append(a); return f(*a)
    return inner
