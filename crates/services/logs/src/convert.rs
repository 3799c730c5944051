//! Records and the journal's view of them → shapes.

use aws_logs::{LogGroup, LogStream};
use journal::{Journal, Summary};

use crate::state::{Group, Stream};

pub(crate) fn group(group: &Group, journal: &Journal) -> LogGroup {
    let streams = journal.streams(&group.journal_prefix());
    let sizes = streams.iter().filter_map(|key| journal.summary(key)).map(|summary| summary.bytes);
    LogGroup {
        log_group_name: Some(group.name.clone()),
        creation_time: Some(group.created_at.as_millis()),
        retention_in_days: group.retention_days,
        metric_filter_count: Some(0),
        arn: Some(format!("{}:*", group.arn())),
        stored_bytes: Some(sizes.sum::<u64>() as i64),
        log_group_class: Some(String::from("STANDARD")),
        log_group_arn: Some(group.arn().to_string()),
        deletion_protection_enabled: Some(false),
        ..LogGroup::default()
    }
}

pub(crate) fn stream(stream: &Stream, summary: Option<Summary>) -> LogStream {
    let span = summary.and_then(|summary| summary.span_ms);
    LogStream {
        log_stream_name: Some(stream.name.clone()),
        creation_time: Some(stream.created_at.as_millis()),
        first_event_timestamp: span.map(|(first, _)| first),
        last_event_timestamp: span.map(|(_, last)| last),
        last_ingestion_time: summary.map(|summary| summary.last_ingestion_ms),
        upload_sequence_token: Some(sequence_token(summary.map_or(0, |summary| summary.next_seq))),
        arn: Some(stream.arn().to_string()),
        // AWS: always zero since 2019; the group's is counted.
        stored_bytes: Some(0),
    }
}

/// 56 digits, as clients expect them. Nothing reads them any more.
pub(crate) fn sequence_token(next_seq: u64) -> String {
    format!("49{next_seq:054}")
}
