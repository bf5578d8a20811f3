//! Reflection, for tools that know no `.proto` file: `grpc.reflection.v1.ServerReflection`.

use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::api::MAX_MESSAGE_BYTES;
use crate::wire::v1;

/// The service that describes everything on the port, itself included.
#[expect(clippy::expect_used, reason = "both descriptor sets are constants of the build, and a test reads them")]
pub(super) fn service() -> ServerReflectionServer<impl ServerReflection> {
    let service = Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    service.expect("compiled descriptor sets").max_decoding_message_size(MAX_MESSAGE_BYTES)
}
