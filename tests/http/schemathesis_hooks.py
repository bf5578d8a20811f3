"""No acquire waits for long: random requests for one connection would wait for each other for days."""

import schemathesis

LONGEST_SECONDS = 0.3


def is_span(said, longest=2592000):
    return isinstance(said, (int, float)) and not isinstance(said, bool) and 0 <= said <= longest


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path != "/v1/acquire" or not isinstance(case.body, dict):
        return
    # What is no valid span stays as it is.
    if is_span(case.body.get("maxWaitSeconds", 0)):
        case.body["maxWaitSeconds"] = min(case.body.get("maxWaitSeconds", 1), LONGEST_SECONDS)
    # It ends with 429 then, and not with 504.
    if "timeoutSeconds" in case.body and is_span(case.body["timeoutSeconds"]) and case.body["timeoutSeconds"] > 0:
        case.body["timeoutSeconds"] = 60
