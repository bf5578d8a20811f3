//! Requests and tokens of a language model, charged together: estimated before each call, and reconciled afterwards.

use std::time::Duration;

use turnstile::{Connection, Dimension, Node, NodeConfig, RateLimit};

/// What a model answers.
struct Answer {
    usage: Usage,
}

struct Usage {
    total_tokens: u32,
}

/// The call to the platform.
async fn call() -> Answer {
    Answer { usage: Usage { total_tokens: 2_150 } }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::start(NodeConfig::in_memory()).await?;
    let throttler = node.throttler();
    let minute = Duration::from_secs(60);
    let (input, max_output) = (2_000, 1_000);
    let model = Connection::new("openai", "acme/gpt", RateLimit::new(500, minute)?)?
        .and_limit(RateLimit::new(30_000, minute)?.counting(Dimension::Tokens))?;
    let permit = throttler.request(&model).tokens(input + max_output).acquire().await?;
    let answer = call().await;
    permit.reconcile(answer.usage.total_tokens).await?;
    node.shutdown().await;
    Ok(())
}
