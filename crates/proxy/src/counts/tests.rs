use super::*;

fn subject(zone: &str) -> Subject {
    Subject { balancer: "b".into(), group: None, zone: Some(zone.into()) }
}

#[test]
fn workers_are_added_up_and_zones_kept_apart() {
    let counts = Counts::default();
    let (one, two, other) =
        (counts.counters(subject("a")), counts.counters(subject("a")), counts.counters(subject("b")));
    one.add(Metric::RequestCount, 2);
    two.add(Metric::RequestCount, 3);
    other.add(Metric::RequestCount, 5);
    let read = counts.read();
    assert_eq!(read[&subject("a")].get(Metric::RequestCount), 5);
    assert_eq!(read[&subject("b")].get(Metric::RequestCount), 5);
    let mut sum = read[&subject("a")].clone();
    sum.merge(&read[&subject("b")]);
    assert_eq!(sum.get(Metric::RequestCount), 10);
}

#[test]
fn what_workers_leave_behind_stays_counted_and_takes_no_more_room() {
    let counts = Counts::default();
    for _ in 0..100 {
        let counters = counts.counters(subject("a"));
        counters.target_answered(200, Duration::from_millis(1));
    }
    assert_eq!(counts.read()[&subject("a")].get(Metric::HttpCodeTarget2xx), 100);
    assert_eq!(counts.lock()[&subject("a")].len(), 1);
    assert_eq!(counts.read()[&subject("a")].response_time.count(), 100);
    counts.forget("b");
    assert!(counts.read().is_empty());
}

#[test]
fn a_difference_is_what_was_added_and_a_level_stays_one() {
    let counts = Counts::default();
    let counters = counts.counters(subject("a"));
    counters.add(Metric::RequestCount, 7);
    counters.add(Metric::ActiveConnectionCount, 3);
    counters.target_answered(500, Duration::from_millis(2));
    let before = counts.read()[&subject("a")].clone();
    counters.add(Metric::RequestCount, 1);
    counters.subtract(Metric::ActiveConnectionCount, 1);
    counters.balancer_answered(502);
    let since = counts.read()[&subject("a")].since(&before);
    let table = [
        (Metric::RequestCount, 1),
        (Metric::ActiveConnectionCount, 2),
        (Metric::HttpCodeElb5xx, 1),
        (Metric::HttpCodeElb502, 1),
        (Metric::HttpCodeTarget5xx, 0),
    ];
    for (metric, expected) in table {
        assert_eq!(since.get(metric), expected, "{}", metric.name());
    }
    assert_eq!(since.response_time.count(), 0);
}

#[test]
fn every_metric_has_its_place_and_name() {
    let names: std::collections::BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(names.len(), Metric::COUNT);
    assert!(Metric::ALL.iter().enumerate().all(|(place, metric)| *metric as usize == place));
}

#[test]
fn percentiles_are_right_to_one_part_in_thirty_two() {
    let counts = Counts::default();
    let counters = counts.counters(subject("a"));
    // 1 µs to 100 s, evenly by logarithm, so that every bucket's width is met.
    let times: Vec<u64> = (0..8_000).map(|n| 10_f64.powf(f64::from(n) / 1_000.0) as u64).collect();
    times.iter().for_each(|micros| counters.response_time.add(Duration::from_micros(*micros)));
    let read = counts.read()[&subject("a")].response_time.clone();
    for share in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
        let rank = ((share * times.len() as f64).ceil() as usize).clamp(1, times.len());
        let exact = times[rank - 1] as f64 / 1e6;
        let got = read.percentile(share).unwrap();
        assert!((got - exact).abs() <= exact / 32.0 + 1e-9, "p{share}: {got} is not {exact}");
    }
    let sum: u64 = times.iter().sum();
    assert_eq!(read.average(), Some(sum as f64 / times.len() as f64 / 1e6));
    assert!(read.minimum().unwrap() <= 1e-6 && read.maximum().unwrap() > 96.0);
    assert_eq!(read.values().map(|(_, count)| count).sum::<u64>(), 8_000);
    assert_eq!(Distribution::default().percentile(0.5), None);
}

#[test]
fn what_takes_longer_than_anything_counts_as_the_longest() {
    let counters = Counters::new();
    counters.response_time.add(Duration::MAX);
    counters.response_time.add(Duration::ZERO);
    let read = counters.response_time.read();
    assert_eq!((read.count(), read.minimum()), (2, Some(0.0)));
    assert!(read.maximum().unwrap() > 4_000.0);
}
