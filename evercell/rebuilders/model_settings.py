"""Settings of the frameworks that agents are written with: by ``set_llm_cache``, ``dspy.configure`` and others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.secrets import Secret
from evercell.state.typerules.settings import Setting

_GLOBALS: dict[str, tuple[str, dict[str, Any], frozenset[str]]] = {
    "LangChain": (
        "langchain_core.globals",
        {"_verbose": False, "_debug": False, "_llm_cache": None},
        frozenset({"langchain", "langchain_core", "langchain_openai", "langchain_anthropic"}),
    ),
    "OpenAI Agents": (
        "agents.models._openai_shared",
        {
            "_default_openai_key": None,
            "_default_openai_client": None,
            "_use_responses_by_default": True,
            "_default_openai_responses_transport": "http",
        },
        frozenset({"agents"}),
    ),
}
"""Title → the module that has them as globals, what these are where nobody set them, and who uses what they hold.

Another version of the framework that has one of these no longer is left as it is.
"""
_KEY = "_default_openai_key"


def _globals_of(home: str, usual: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def read() -> dict[str, Any]:
        has = vars(import_module(home))
        found = {
            n: has[n] for n, value in usual.items() if n in has and has[n] is not value and has[n] != value
        }
        return found | ({_KEY: Secret(found[_KEY])} if _KEY in found else {})

    def write(state: dict[str, Any]) -> None:
        has = vars(import_module(home))
        for name, value in {**usual, **state}.items():
            if name in has and type(value) is not Placeholder:
                has[name] = value.text if isinstance(value, Secret) else value

    return read, write


def _used_with(packages: Collection[str]) -> Callable[[Any], Collection[str]]:
    return lambda state: packages if state else ()


# -- DSPy --------------------------------------------------------------------------------------------

_DSPY = "dspy.dsp.utils.settings"


def _read_dspy() -> dict[str, Any]:
    module = import_module(_DSPY)
    usual = module.DEFAULT_CONFIG
    return {n: v for n, v in dict.items(module.main_thread_config) if n not in usual or usual[n] != v}


def _write_dspy(state: dict[str, Any]) -> None:
    module = import_module(_DSPY)
    config = module.main_thread_config
    for name in _read_dspy().keys() - state.keys():
        config.pop(name)
        if name in module.DEFAULT_CONFIG:
            config[name] = module.DEFAULT_CONFIG[name]
    config.update({n: v for n, v in state.items() if type(v) is not Placeholder})


# -- whether OpenAI Agents traces --------------------------------------------------------------------


def _provider() -> Any:
    return import_module("agents.tracing.setup").GLOBAL_TRACE_PROVIDER


def _read_tracing() -> bool | None:
    found = getattr(_provider(), "_manual_disabled", None)
    return found if isinstance(found, bool) else None


def _write_tracing(state: bool | None) -> None:
    if state is not None:
        import_module("agents").set_tracing_disabled(state)
    elif _provider() is not None:
        _provider()._manual_disabled = None


SETTINGS = (
    *(
        Setting(title, home, *_globals_of(home, usual), usual={}, used_with=_used_with(packages))
        for title, (home, usual, packages) in _GLOBALS.items()
    ),
    Setting("DSPy", _DSPY, _read_dspy, _write_dspy, usual={}, used_with=_used_with({"dspy"})),
    Setting("OpenAI Agents' tracing", "agents.tracing.setup", _read_tracing, _write_tracing),
)
