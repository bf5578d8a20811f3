//! The metrics that are read when somebody looks, rather than counted as things happen.

use std::sync::Arc;

use metrics::{Counter, Gauge};
use tokio::sync::Mutex;

use super::Admin;
use crate::engine::membership::THERE_WITHIN;
use crate::peers::Peers;
use crate::telemetry::{self, ByBand, PEERS};

/// Where they are written.
#[derive(Debug)]
pub(super) struct Gauges {
    queued: ByBand<Gauge>,
    connections: Gauge,
    tracked: Gauge,
    fill_max: Gauge,
    full: Gauge,
    over_grants: Counter,
    epoch: Gauge,
    is_leader: Gauge,
    term: Gauge,
    last_applied: Gauge,
    reachable: Gauge,
    silent: Gauge,
    /// Held while somebody looks: more at once would only see the same.
    looking: Mutex<()>,
}

impl Gauges {
    /// In this process's recorder.
    pub(super) fn new() -> Arc<Self> {
        telemetry::BUILD_INFO.gauge_of(env!("CARGO_PKG_VERSION")).set(1.0);
        Arc::new(Self {
            queued: ByBand::new(|band| telemetry::QUEUED.gauge_of(band)),
            connections: telemetry::CONNECTIONS.gauge(),
            tracked: telemetry::TRACKED.gauge(),
            fill_max: telemetry::FILL_MAX.gauge(),
            full: telemetry::FULL.gauge(),
            over_grants: telemetry::OVER_GRANTS.counter(),
            epoch: telemetry::EPOCH.gauge(),
            is_leader: telemetry::IS_LEADER.gauge(),
            term: telemetry::TERM.gauge(),
            last_applied: telemetry::LAST_APPLIED.gauge(),
            reachable: PEERS.gauge_of("reachable"),
            silent: PEERS.gauge_of("silent"),
            looking: Mutex::new(()),
        })
    }
}

impl Admin {
    /// Brings those of the [`METRICS`](crate::METRICS) up to date that are read rather than counted: queues, connections, windows, the node's part in its cluster. Call it
    /// before the recorder is scraped; `turnstile node` does. It looks at every connection that the node owns, a few at a time.
    pub async fn measure(&self) {
        let gauges = &self.gauges;
        let _alone = gauges.looking.lock().await;
        let (standing, ledger) = (self.consensus.standing(), self.consensus.ledger());
        gauges.tracked.set(number(ledger.tracked()));
        gauges.over_grants.absolute(ledger.over_grants());
        gauges.epoch.set(index(ledger.ring().borrow().epoch().0.0));
        gauges.is_leader.set(if self.consensus.leads() { 1.0 } else { 0.0 });
        gauges.term.set(index(standing.term));
        gauges.last_applied.set(index(standing.applied_index.unwrap_or_default()));
        let peers = self.peers.as_ref().map(Peers::report).unwrap_or_default();
        let reachable = peers.iter().filter(|peer| peer.silent_for.is_some_and(|silent| silent < THERE_WITHIN)).count();
        gauges.reachable.set(number(reachable));
        gauges.silent.set(number(peers.len() - reachable));

        let survey = self.owners.survey().await;
        gauges.connections.set(number(survey.connections));
        gauges.fill_max.set(index(survey.fullest) / 1e6);
        gauges.full.set(number(survey.full));
        for (waiting, gauge) in survey.waiting.zip(&gauges.queued) {
            gauge.set(number(waiting));
        }
    }
}

/// As recorders want it: exact up to 2^53, and nothing here comes near.
const fn index(value: u64) -> f64 {
    value as f64
}

const fn number(count: usize) -> f64 {
    count as f64
}
