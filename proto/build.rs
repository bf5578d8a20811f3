//! Compiles the protobuf definitions, without protoc, for builds with the gRPC surface.

/// Nothing to compile: the engine and the embedded node speak no gRPC.
#[cfg(not(feature = "node"))]
fn main() {
    println!("cargo::rerun-if-changed=proto/build.rs");
}

#[cfg(feature = "node")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(["turnstile/v1/throttle.proto", "turnstile/v1/admin.proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // What reflection serves, which is what everybody may call: with the comments, which tools show.
    std::fs::write(out.join("turnstile.v1.bin"), compiler.encode_file_descriptor_set())?;
    compiler.open_file("turnstile/v1/peer.proto")?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
