//! The recorder of `turnstile node`, in the format of Prometheus: whoever runs the binary owns its registry, which a library must not.

use std::convert::Infallible;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::clock;
use crate::telemetry::{METRICS, MetricKind};

/// How often what histograms were told is summed up. Until then each of it is kept: several megabytes a second at the most grants a second.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(1);

/// What was counted since the process has started.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    handle: PrometheusHandle,
}

impl Recorder {
    /// Counts from now on, whatever in this process is counted.
    ///
    /// # Errors
    /// When this process has a recorder already.
    pub(super) fn install() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            if let MetricKind::Histogram(bounds) = metric.kind {
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
            }
        }
        Ok(Self { handle: builder.install_recorder()? })
    }

    /// All of it, as Prometheus reads it.
    pub(super) fn text(&self) -> String {
        self.handle.render()
    }

    /// Keeps what it holds small. Runs until it is dropped.
    pub(super) async fn upkeep(&self) -> Infallible {
        loop {
            clock::sleep(SUMMED_UP_EVERY).await;
            self.handle.run_upkeep();
        }
    }
}
