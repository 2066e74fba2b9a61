"""What frameworks of agents keep in the process: settings that a call of theirs makes."""

from tests.probes import Probe

PROBES = [  # one line a cell, however long: that is how they read best
    Probe(
        "af_langchain",
        "from langchain_core.globals import set_llm_cache, set_verbose, get_llm_cache, get_verbose\nfrom langchain_core.caches import InMemoryCache\nfrom langchain_core.language_models import FakeListChatModel\naf_langchain = FakeListChatModel(responses=['one', 'two', 'three', 'four']); set_llm_cache(InMemoryCache()); set_verbose(True); af_langchain.invoke('a')\n----\naf_langchain.invoke('b')",
        "assert get_verbose() and len(get_llm_cache()._cache) == 2 and [af_langchain.invoke(x).content for x in 'ba'] == ['two', 'one']\nset_llm_cache(None); set_verbose(False)",
    ),
    Probe(
        "af_openai_agents",
        "from agents import set_default_openai_client, set_default_openai_api, set_default_openai_key, set_tracing_disabled\nfrom openai import AsyncOpenAI\naf_openai_agents = AsyncOpenAI(api_key='sk-of-agents', base_url='https://127.0.0.1:9/v1'); set_tracing_disabled(True); set_default_openai_client(af_openai_agents, use_for_tracing=False); set_default_openai_api('chat_completions'); set_default_openai_key('sk-another', use_for_tracing=False)",
        "from agents.models import _openai_shared as shared\nfrom agents.tracing import get_trace_provider\nassert shared.get_default_openai_client() is af_openai_agents and shared.get_default_openai_key() == 'sk-another' and not shared.get_use_responses_by_default()\nassert get_trace_provider().create_trace('t').__class__.__name__ == 'NoOpTrace'",
    ),
    Probe(
        "af_litellm",
        "import litellm\ndef af_litellm(*_): pass\nlitellm.failure_callback.append(af_litellm); litellm.model_alias_map['af'] = 'openai/m'; litellm.drop_params = True",
        "import litellm\nassert litellm.failure_callback == [af_litellm] and litellm.model_alias_map == {'af': 'openai/m'} and litellm.drop_params",
    ),
]

MORE = [
    Probe(
        "af_dspy",
        "import dspy\nclass af_dspy_LM(dspy.LM):\n    def forward(self, *a, **k): raise OSError\naf_dspy = af_dspy_LM('openai/m', api_key='sk-of-dspy'); dspy.configure(lm=af_dspy, adapter=dspy.JSONAdapter(), track_usage=True)\n----\naf_dspy.history.append('asked')",
        "assert dspy.settings.lm is af_dspy and af_dspy.history == ['asked'] and af_dspy.kwargs['api_key'] == 'sk-of-dspy' and type(dspy.settings.adapter) is dspy.JSONAdapter and dspy.settings.track_usage\ndspy.configure(track_usage=False); assert not dspy.settings.track_usage",
    ),
]
