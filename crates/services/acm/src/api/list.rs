//! The list of an account's certificates in a region.

use aws_acm::{Filters, ListCertificatesRequest, ListCertificatesResponse};
use base::{Fault, Timestamp};
use service::View;

use super::Uses;
use crate::behaviour::page::page;
use crate::state::{self, Certificate};
use crate::{convert, faults};

/// AWS: without a filter of key types the list has only these.
const DEFAULT_KEY_TYPES: [&str; 2] = ["RSA_1024", "RSA_2048"];

pub(super) fn list(
    view: &View<'_>,
    uses: Uses,
    request: ListCertificatesRequest,
) -> Result<ListCertificatesResponse, Fault> {
    let is_descending = match (&request.sort_by, &request.sort_order) {
        (None, None) => false,
        (Some(_), Some(order)) => order == "DESCENDING",
        _ => return Err(faults::bad_argument("SortBy and SortOrder must be given together.")),
    };
    let is_sorted = request.sort_by.is_some();
    let includes = request.includes.unwrap_or_default();
    let statuses = request.certificate_statuses.unwrap_or_default();
    let origins = request.certificate_key_pair_origins.unwrap_or_default();
    let fits = |record: &Certificate| {
        let status = convert::status(record, view.now);
        (statuses.is_empty() || statuses.iter().any(|wanted| wanted == status))
            && (origins.is_empty() || origins.iter().any(|origin| origin == "CUSTOMER_PROVIDED"))
            && includes_record(&includes, record)
    };
    let records = view.scan::<Certificate>(&state::of(view.caller)).filter(|record| fits(record)).collect();
    let place = |record: &std::sync::Arc<Certificate>| {
        let at = if is_sorted { record.created_at } else { Timestamp::EPOCH };
        format!("{:020}/{}", at.as_micros(), record.id)
    };
    let (records, next_token) =
        page(records, place, is_descending, request.next_token.as_deref(), request.max_items);
    let summaries = records.iter().map(|record| {
        let is_used = !uses(view, record.arn().as_str()).is_empty();
        convert::summary(record, is_used, view.now)
    });
    Ok(ListCertificatesResponse { certificate_summary_list: Some(summaries.collect()), next_token })
}

fn includes_record(includes: &Filters, record: &Certificate) -> bool {
    let facts = &record.facts;
    let key = convert::key_algorithm(facts.key);
    let has_key = match &includes.key_types {
        Some(types) if !types.is_empty() => types.iter().any(|wanted| wanted == key),
        _ => DEFAULT_KEY_TYPES.contains(&key),
    };
    let has_usage = wanted(&includes.key_usage, |name| {
        facts.usages.iter().any(|usage| convert::key_usage(*usage) == name)
    });
    let has_extended = wanted(&includes.extended_key_usage, |name| {
        (name == "NONE" && facts.extended_usages.is_empty())
            || facts.extended_usages.iter().any(|oid| convert::extended_key_usage(oid) == name)
    });
    has_key
        && has_usage
        && has_extended
        && includes.export_option.as_deref().is_none_or(|option| option == "DISABLED")
        && includes.managed_by.is_none()
}

/// Whether one of the names fits; no names, and `ANY`, fit all.
fn wanted(names: &Option<Vec<String>>, fits: impl Fn(&str) -> bool) -> bool {
    names
        .as_ref()
        .is_none_or(|names| names.is_empty() || names.iter().any(|name| name == "ANY" || fits(name)))
}
