//! What every gRPC server is asked: how it is, and what it can do.

use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic::codegen::tokio_stream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::prost::Message as _;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Server, connect, eventually, soon};

const SERVICE: &str = "turnstile.v1.ThrottleService";
const ADMIN: &str = "turnstile.v1.AdminService";

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn a_server_is_healthy_as_long_as_its_node_serves() {
    let server = Server::start().await;
    let mut health = HealthClient::new(connect(server.address).await);
    for service in ["", SERVICE, ADMIN] {
        assert_eq!(soon(health.check(of(service))).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    assert_eq!(soon(health.check(of("another"))).await.unwrap_err().code(), Code::NotFound);
    soon(server.node.shutdown()).await;
    for service in ["", SERVICE, ADMIN] {
        eventually("it says so", || {
            let mut health = health.clone();
            async move { health.check(of(service)).await.unwrap().into_inner().status() == ServingStatus::NotServing }
        })
        .await;
    }
}

#[tokio::test]
async fn who_watches_the_health_of_a_server_is_told_its_end_and_does_not_delay_it() {
    let server = Server::start().await;
    let mut health = HealthClient::new(connect(server.address).await);
    let mut watch = soon(health.watch(of(SERVICE))).await.unwrap().into_inner();
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.stop().await;
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(soon(watch.message()).await.unwrap(), None, "ended, and not cut");
}

/// What reflection answers to one question.
async fn reflected(server: &Server, question: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(connect(server.address).await);
    let question = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answers = soon(client.server_reflection_info(tokio_stream::iter([question]))).await.unwrap();
    soon(answers.into_inner().message()).await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_every_service_and_describes_ours_with_its_comments() {
    let server = Server::start().await;
    let listed = reflected(&server, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("a list: {listed:?}") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", ADMIN, SERVICE]);

    let described = reflected(&server, MessageRequest::FileContainingSymbol(SERVICE.to_owned())).await;
    let MessageResponse::FileDescriptorResponse(described) = described else { panic!("a file: {described:?}") };
    let file = FileDescriptorProto::decode(described.file_descriptor_proto[0].as_slice()).unwrap();
    let methods: Vec<_> = file.service[0].method.iter().map(|method| method.name()).collect();
    assert_eq!(methods, ["Acquire", "TryAcquire", "Release", "Reconcile", "Explain", "Session"]);
    let comments = file.source_code_info.unwrap().location;
    assert!(comments.iter().any(|location| location.leading_comments().contains("the most urgent first")));

    let imported = MessageRequest::FileByFilename("google/protobuf/duration.proto".to_owned());
    assert!(matches!(reflected(&server, imported).await, MessageResponse::FileDescriptorResponse(_)));
    server.stop().await;
}
