//! Compiles the protobuf definitions, without protoc, for builds with the gRPC surface.

/// Nothing to compile: the engine and the embedded node speak no gRPC.
#[cfg(not(feature = "cli"))]
fn main() {
    println!("cargo::rerun-if-changed=proto/build.rs");
}

#[cfg(feature = "cli")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/turnstile/v1/throttle.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
