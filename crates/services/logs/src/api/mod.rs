//! One file per resource; this one says which handler answers what, and on which members it acts.

mod group;
mod retention;
mod stream;
mod tags;

use std::sync::Arc;

use aws_logs::op;
use journal::Journal;
use service::{Acts, Operation};

use crate::data;

pub(crate) fn operations(journal: &Arc<Journal>) -> Vec<Operation> {
    let mut operations = vec![
        Operation::write::<op::CreateLogGroup>(
            Acts::On(&["logGroupName", "tags", "logGroupClass", "deletionProtectionEnabled"]),
            group::create,
        ),
        Operation::write::<op::DeleteLogGroup>(Acts::All, group::delete),
        Operation::write::<op::CreateLogStream>(Acts::All, stream::create),
        Operation::write::<op::DeleteLogStream>(Acts::All, stream::delete),
        Operation::write::<op::PutRetentionPolicy>(Acts::All, retention::put),
        Operation::write::<op::DeleteRetentionPolicy>(Acts::All, retention::delete),
        Operation::write::<op::TagLogGroup>(Acts::All, tags::tag_group),
        Operation::write::<op::UntagLogGroup>(Acts::All, tags::untag_group),
        Operation::read::<op::ListTagsLogGroup>(Acts::All, tags::list_of_group),
        Operation::write::<op::TagResource>(Acts::All, tags::tag),
        Operation::write::<op::UntagResource>(Acts::All, tags::untag),
        Operation::read::<op::ListTagsForResource>(Acts::All, tags::list),
    ];
    let held = Arc::clone(journal);
    operations.push(Operation::read::<op::DescribeLogGroups>(Acts::All, move |view, request| {
        group::describe(&held, view, request)
    }));
    let held = Arc::clone(journal);
    operations.push(Operation::read::<op::DescribeLogStreams>(Acts::All, move |view, request| {
        stream::describe(&held, view, request)
    }));
    let held = Arc::clone(journal);
    operations.push(Operation::data::<op::PutLogEvents, _, _>(Acts::All, move |cx, request| {
        data::put::put_log_events(Arc::clone(&held), cx, request)
    }));
    let held = Arc::clone(journal);
    operations.push(Operation::data::<op::GetLogEvents, _, _>(Acts::All, move |cx, request| {
        data::get::get_log_events(Arc::clone(&held), cx, request)
    }));
    let held = Arc::clone(journal);
    operations.push(Operation::data::<op::FilterLogEvents, _, _>(Acts::All, move |cx, request| {
        data::filter::filter_log_events(Arc::clone(&held), cx, request)
    }));
    operations
}
