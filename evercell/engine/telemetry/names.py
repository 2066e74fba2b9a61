"""Names of spans, attributes and metrics: whoever draws a picture of them relies on each. None is ever changed.

Those of models are the semantic conventions of OpenTelemetry for generative AI.
"""

from __future__ import annotations

SCOPE = "evercell"

RUN_SPAN, STEP_SPAN, CALL_SPAN = "run {}", "step {}", "call {}"
CHAT_SPAN, EMBEDDINGS_SPAN, TOOL_SPAN = "chat {}", "embeddings {}", "execute_tool {}"

RUN_ID = "evercell.run.id"
RUN_NAME = "evercell.run.name"
RUN_STATUS = "evercell.run.status"
NOTEBOOK = "evercell.notebook"
STEP_NAME = "evercell.step.name"
STEP_STATUS = "evercell.step.status"
ATTEMPT = "evercell.step.attempt"
CALL_NAME = "evercell.call.name"
CALL_KEY = "evercell.call.key"
CALL_TRIES = "evercell.call.tries"
CALL_COST = "evercell.call.cost"
CALL_ARGUMENTS = "evercell.call.arguments"
CALL_RESULT = "evercell.call.result"
ERROR_TYPE = "error.type"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
DEFERRED = "pydantic_ai.tool.deferral.name"
WORKFLOW_NAME = "gen_ai.workflow.name"
INVOKE_WORKFLOW, FUNCTION = "invoke_workflow", "function"

EVALUATION = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
SCORE_VALUE = "gen_ai.evaluation.score.value"
SCORE_LABEL = "gen_ai.evaluation.score.label"
EXPLANATION = "gen_ai.evaluation.explanation"

RUN_DURATION = "evercell.run.duration"
STEP_DURATION = "evercell.step.duration"
CALL_DURATION = "evercell.call.duration"
MODEL_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105

METRICS = {
    RUN_DURATION: ("s", "How long runs took, from their making to their end."),
    STEP_DURATION: ("s", "How long attempts at steps took."),
    CALL_DURATION: ("s", "How long durable calls took, with all their tries."),
    MODEL_DURATION: ("s", "How long requests of models took."),
    TOKEN_USAGE: ("{token}", "Tokens of requests of models."),
}
"""Histograms: unit and description."""
