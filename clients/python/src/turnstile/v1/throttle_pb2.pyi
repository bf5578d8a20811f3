import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIMENSION_UNSPECIFIED: _ClassVar[Dimension]
    DIMENSION_UNITS: _ClassVar[Dimension]
    DIMENSION_TOKENS: _ClassVar[Dimension]
    DIMENSION_INPUT_TOKENS: _ClassVar[Dimension]
    DIMENSION_OUTPUT_TOKENS: _ClassVar[Dimension]

class Algorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALGORITHM_UNSPECIFIED: _ClassVar[Algorithm]
    ALGORITHM_SLIDING_WINDOW: _ClassVar[Algorithm]
    ALGORITHM_TOKEN_BUCKET: _ClassVar[Algorithm]
    ALGORITHM_LEAKY_BUCKET: _ClassVar[Algorithm]
    ALGORITHM_GCRA_VIRTUAL: _ClassVar[Algorithm]
    ALGORITHM_GCRA_CONTINUOUS: _ClassVar[Algorithm]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_GRANTED: _ClassVar[Outcome]
    OUTCOME_THROTTLED: _ClassVar[Outcome]
DIMENSION_UNSPECIFIED: Dimension
DIMENSION_UNITS: Dimension
DIMENSION_TOKENS: Dimension
DIMENSION_INPUT_TOKENS: Dimension
DIMENSION_OUTPUT_TOKENS: Dimension
ALGORITHM_UNSPECIFIED: Algorithm
ALGORITHM_SLIDING_WINDOW: Algorithm
ALGORITHM_TOKEN_BUCKET: Algorithm
ALGORITHM_LEAKY_BUCKET: Algorithm
ALGORITHM_GCRA_VIRTUAL: Algorithm
ALGORITHM_GCRA_CONTINUOUS: Algorithm
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_GRANTED: Outcome
OUTCOME_THROTTLED: Outcome

class ConnectionKey(_message.Message):
    __slots__ = ("platform", "connection")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    platform: str
    connection: str
    def __init__(self, platform: _Optional[str] = ..., connection: _Optional[str] = ...) -> None: ...

class RateLimit(_message.Message):
    __slots__ = ("request_count", "window", "dimension", "delivery_bound", "guard", "algorithm")
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_BOUND_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    request_count: int
    window: _duration_pb2.Duration
    dimension: Dimension
    delivery_bound: _duration_pb2.Duration
    guard: _duration_pb2.Duration
    algorithm: Algorithm
    def __init__(self, request_count: _Optional[int] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., dimension: _Optional[_Union[Dimension, str]] = ..., delivery_bound: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., guard: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., algorithm: _Optional[_Union[Algorithm, str]] = ...) -> None: ...

class Acquire(_message.Message):
    __slots__ = ("request_id", "key", "limits", "niceness", "cost", "tokens", "input_tokens", "output_tokens", "timeout", "max_wait", "waited")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NICENESS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    key: ConnectionKey
    limits: _containers.RepeatedCompositeFieldContainer[RateLimit]
    niceness: int
    cost: int
    tokens: int
    input_tokens: int
    output_tokens: int
    timeout: _duration_pb2.Duration
    max_wait: _duration_pb2.Duration
    waited: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[bytes] = ..., key: _Optional[_Union[ConnectionKey, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[RateLimit, _Mapping]]] = ..., niceness: _Optional[int] = ..., cost: _Optional[int] = ..., tokens: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Margin(_message.Message):
    __slots__ = ("delivery", "guard")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    delivery: _duration_pb2.Duration
    guard: _duration_pb2.Duration
    def __init__(self, delivery: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., guard: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("request_id", "arrival", "release", "waited", "start_within", "margin", "tenure", "waits_since", "permit")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    START_WITHIN_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    TENURE_FIELD_NUMBER: _ClassVar[int]
    WAITS_SINCE_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    arrival: int
    release: int
    waited: _duration_pb2.Duration
    start_within: _duration_pb2.Duration
    margin: Margin
    tenure: int
    waits_since: int
    permit: bytes
    def __init__(self, request_id: _Optional[bytes] = ..., arrival: _Optional[int] = ..., release: _Optional[int] = ..., waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., margin: _Optional[_Union[Margin, _Mapping]] = ..., tenure: _Optional[int] = ..., waits_since: _Optional[int] = ..., permit: _Optional[bytes] = ...) -> None: ...

class AcquireRequest(_message.Message):
    __slots__ = ("acquire",)
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    acquire: Acquire
    def __init__(self, acquire: _Optional[_Union[Acquire, _Mapping]] = ...) -> None: ...

class AcquireResponse(_message.Message):
    __slots__ = ("outcome", "grant", "retry_after")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    grant: Grant
    retry_after: _duration_pb2.Duration
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TryAcquireRequest(_message.Message):
    __slots__ = ("acquire",)
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    acquire: Acquire
    def __init__(self, acquire: _Optional[_Union[Acquire, _Mapping]] = ...) -> None: ...

class TryAcquireResponse(_message.Message):
    __slots__ = ("outcome", "grant", "retry_after")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    grant: Grant
    retry_after: _duration_pb2.Duration
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("permit",)
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    permit: bytes
    def __init__(self, permit: _Optional[bytes] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("permit", "usage")
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    permit: bytes
    usage: Usage
    def __init__(self, permit: _Optional[bytes] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("tokens", "input_tokens", "output_tokens")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    input_tokens: int
    output_tokens: int
    def __init__(self, tokens: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ...) -> None: ...

class TokenCount(_message.Message):
    __slots__ = ("tokens", "input_tokens", "output_tokens")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    input_tokens: int
    output_tokens: int
    def __init__(self, tokens: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("refunded", "owed")
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    OWED_FIELD_NUMBER: _ClassVar[int]
    refunded: TokenCount
    owed: TokenCount
    def __init__(self, refunded: _Optional[_Union[TokenCount, _Mapping]] = ..., owed: _Optional[_Union[TokenCount, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("key", "request_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key: ConnectionKey
    request_id: bytes
    def __init__(self, key: _Optional[_Union[ConnectionKey, _Mapping]] = ..., request_id: _Optional[bytes] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("position", "ahead", "estimated_wait", "waited")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_WAIT_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    position: int
    ahead: _containers.RepeatedCompositeFieldContainer[WaitingCount]
    estimated_wait: _duration_pb2.Duration
    waited: _duration_pb2.Duration
    def __init__(self, position: _Optional[int] = ..., ahead: _Optional[_Iterable[_Union[WaitingCount, _Mapping]]] = ..., estimated_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WaitingCount(_message.Message):
    __slots__ = ("niceness", "count")
    NICENESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    niceness: int
    count: int
    def __init__(self, niceness: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("stamp_nanos", "acquire", "try_acquire", "cancel", "done", "give_back", "reconcile")
    STAMP_NANOS_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    TRY_ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    GIVE_BACK_FIELD_NUMBER: _ClassVar[int]
    RECONCILE_FIELD_NUMBER: _ClassVar[int]
    stamp_nanos: int
    acquire: Acquire
    try_acquire: Acquire
    cancel: Cancel
    done: Done
    give_back: GiveBack
    reconcile: Reconcile
    def __init__(self, stamp_nanos: _Optional[int] = ..., acquire: _Optional[_Union[Acquire, _Mapping]] = ..., try_acquire: _Optional[_Union[Acquire, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., give_back: _Optional[_Union[GiveBack, _Mapping]] = ..., reconcile: _Optional[_Union[Reconcile, _Mapping]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class GiveBack(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class Reconcile(_message.Message):
    __slots__ = ("request_id", "usage")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    usage: Usage
    def __init__(self, request_id: _Optional[bytes] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("request_id", "granted", "throttled", "failed", "ended", "reconciled")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    RECONCILED_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    granted: Granted
    throttled: Throttled
    failed: Failed
    ended: Ended
    reconciled: ReconcileResponse
    def __init__(self, request_id: _Optional[bytes] = ..., granted: _Optional[_Union[Granted, _Mapping]] = ..., throttled: _Optional[_Union[Throttled, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ..., reconciled: _Optional[_Union[ReconcileResponse, _Mapping]] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("grant", "stamp_nanos", "age")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    STAMP_NANOS_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    stamp_nanos: int
    age: _duration_pb2.Duration
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., stamp_nanos: _Optional[int] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Throttled(_message.Message):
    __slots__ = ("retry_after",)
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    retry_after: _duration_pb2.Duration
    def __init__(self, retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("code", "message", "status_details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    status_details: bytes
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., status_details: _Optional[bytes] = ...) -> None: ...

class Ended(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
