"""The messages of the Open Inference Protocol's gRPC service, as far as this endpoint speaks it.

Names and numbers of the fields are the protocol's. The classes are made at import, in a pool of their own: a client's
generated classes of the same names may live in the same process. A map is what it is on the wire: a repeated entry
of key and value. Each of a request's inputs is an InferInputTensor that is left packed: without its values it says
the same in every request, so that it need not be read again.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_REPEATED, _ONE_OF = "repeated ", "choice "

_MESSAGES = {
    "ServerLiveRequest": [],
    "ServerLiveResponse": ["bool live = 1"],
    "ServerReadyRequest": [],
    "ServerReadyResponse": ["bool ready = 1"],
    "ModelReadyRequest": ["string name = 1", "string version = 2"],
    "ModelReadyResponse": ["bool ready = 1"],
    "ServerMetadataRequest": [],
    "ServerMetadataResponse": ["string name = 1", "string version = 2", "repeated string extensions = 3"],
    "ModelMetadataRequest": ["string name = 1", "string version = 2"],
    "TensorMetadata": ["string name = 1", "string datatype = 2", "repeated int64 shape = 3"],
    "ModelMetadataResponse": [
        "string name = 1",
        "repeated string versions = 2",
        "string platform = 3",
        "repeated TensorMetadata inputs = 4",
        "repeated TensorMetadata outputs = 5",
    ],
    "InferParameter": [
        "choice bool bool_param = 1",
        "choice int64 int64_param = 2",
        "choice string string_param = 3",
        "choice double double_param = 4",
        "choice uint64 uint64_param = 5",
    ],
    "ParameterEntry": ["string key = 1", "InferParameter value = 2"],
    "InferTensorContents": [
        "repeated bool bool_contents = 1",
        "repeated int32 int_contents = 2",
        "repeated int64 int64_contents = 3",
        "repeated float fp32_contents = 6",
        "repeated double fp64_contents = 7",
        "repeated bytes bytes_contents = 8",
    ],
    "InferInputTensor": [
        "string name = 1",
        "string datatype = 2",
        "repeated int64 shape = 3",
        "InferTensorContents contents = 5",
    ],
    "InferRequestedOutputTensor": ["string name = 1"],
    "ModelInferRequest": [
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        "repeated ParameterEntry parameters = 4",
        "repeated bytes inputs = 5",
        "repeated InferRequestedOutputTensor outputs = 6",
        "repeated bytes raw_input_contents = 7",
    ],
    "InferOutputTensor": ["string name = 1", "string datatype = 2", "repeated int64 shape = 3"],
    "ModelInferResponse": [
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        "repeated ParameterEntry parameters = 4",
        "repeated InferOutputTensor outputs = 5",
        "repeated bytes raw_output_contents = 6",
    ],
    "ModelStatisticsRequest": ["string name = 1", "string version = 2"],
    "StatisticDuration": ["uint64 count = 1", "uint64 ns = 2"],
    "InferStatistics": ["StatisticDuration success = 1", "StatisticDuration fail = 2"],
    "ModelStatistics": [
        "string name = 1",
        "string version = 2",
        "uint64 inference_count = 4",
        "uint64 execution_count = 5",
        "InferStatistics inference_stats = 6",
    ],
    "ModelStatisticsResponse": ["repeated ModelStatistics model_stats = 1"],
    "RepositoryIndexRequest": ["string repository_name = 1", "bool ready = 2"],
    "ModelIndex": ["string name = 1", "string version = 2", "string state = 3", "string reason = 4"],
    "RepositoryIndexResponse": ["repeated ModelIndex models = 1"],
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(field.startswith(_ONE_OF) for field in fields):
            message.oneof_decl.add(name=_ONE_OF.strip())
        for field in fields:
            _add_field(message, field)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, written: str) -> None:
    """One field as a .proto file writes it: `repeated int64 shape = 3`."""
    kind, name, _, number = written.removeprefix(_REPEATED).removeprefix(_ONE_OF).split()
    field = message.field.add(name=name, number=int(number))
    many = written.startswith(_REPEATED)
    field.label = field.LABEL_REPEATED if many else field.LABEL_OPTIONAL
    if written.startswith(_ONE_OF):
        field.oneof_index = 0
    if kind in _MESSAGES:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = field.Type.Value(f"TYPE_{kind.upper()}")


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    found = {name: pool.FindMessageTypeByName(f"{PACKAGE}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


MESSAGES = _classes()
