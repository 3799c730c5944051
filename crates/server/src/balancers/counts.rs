//! What a plane has counted, for whoever asks, wherever it serves.

use std::collections::BTreeMap;

use link::{Counted, Times};
use proxy::Plane;
use proxy::counts::{Distribution, Metric, Reading, Subject};

/// Those that are told of response times.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// Everything since the plane's start.
pub fn counted(plane: &Plane) -> Vec<Counted> {
    plane.counts().into_iter().map(|(subject, reading)| tell(subject, &reading)).collect()
}

fn tell(subject: Subject, reading: &Reading) -> Counted {
    let metrics = Metric::ALL.map(|metric| (metric.name().to_owned(), reading.get(metric)));
    Counted {
        balancer: subject.balancer,
        group: subject.group,
        zone: subject.zone,
        metrics: BTreeMap::from(metrics),
        response_time: times(&reading.response_time),
    }
}

fn times(of: &Distribution) -> Option<Times> {
    let percentile = |(name, share): (&str, f64)| Some((name.to_owned(), of.percentile(share)?));
    Some(Times {
        count: of.count(),
        average: of.average()?,
        minimum: of.minimum()?,
        maximum: of.maximum()?,
        percentiles: PERCENTILES.into_iter().filter_map(percentile).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proxy::counts::Counts;

    use super::*;

    #[test]
    fn every_counter_is_told_with_percentiles_of_what_took_time() {
        let counts = Counts::default();
        let subject = Subject { balancer: "web".into(), group: Some("group".into()), zone: None };
        let counters = counts.counters(subject.clone());
        counters.add(Metric::RequestCount, 3);
        counters.target_answered(200, Duration::from_millis(10));
        let told = tell(subject.clone(), &counts.read()[&subject]);
        assert_eq!(told.metrics.len(), Metric::ALL.len());
        assert_eq!((told.metrics["RequestCount"], told.metrics["HTTPCode_Target_2XX_Count"]), (3, 1));
        let times = told.response_time.unwrap();
        assert_eq!((times.count, times.percentiles.len()), (1, PERCENTILES.len()));
        assert!((times.percentiles["p99.9"] - 0.01).abs() < 0.001);
        let nothing = Reading::default();
        assert_eq!(tell(subject, &nothing).response_time, None);
    }
}
