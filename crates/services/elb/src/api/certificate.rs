//! Certificates of a listener: AddListenerCertificates, RemoveListenerCertificates,
//! DescribeListenerCertificates.

use aws_elbv2 as aws;
use base::Fault;
use service::{Tx, View};

use super::{find, listener};
use crate::behaviour::page::Page;
use crate::convert::text;
use crate::faults;
use crate::state::Listener;

/// AWS: of one balancer, default ones not counted.
const MOST: usize = 25;

fn arns(certificates: Vec<aws::Certificate>) -> Result<Vec<String>, Fault> {
    if certificates.is_empty() {
        return Err(faults::invalid("At least one certificate must be specified"));
    }
    let arn = |certificate: aws::Certificate| {
        if certificate.is_default.is_some() {
            return Err(faults::invalid("You cannot specify 'IsDefault' for a certificate"));
        }
        let arn = certificate.certificate_arn.filter(|arn| !arn.is_empty());
        arn.ok_or_else(|| faults::invalid("A certificate ARN must be specified"))
    };
    certificates.into_iter().map(arn).collect()
}

fn secure(found: &Listener) -> Result<(), Fault> {
    if found.is_secure() {
        return Ok(());
    }
    Err(faults::invalid("Certificates cannot be specified for HTTP listeners"))
}

/// AWS: one that is there already stays as it is.
pub fn add(
    tx: &mut Tx<'_>,
    request: aws::AddListenerCertificatesInput,
) -> Result<aws::AddListenerCertificatesOutput, Fault> {
    let found = find::listener(tx, tx.caller, &request.listener_arn)?;
    secure(&found)?;
    let added = arns(request.certificates)?;
    let mut after = (*found).clone();
    for arn in &added {
        listener::check_certificate(tx, arn)?;
        if !after.certificates.contains(arn) {
            after.certificates.push(arn.clone());
        }
    }
    let others = tx.scan::<Listener>(&found.at.balancer.key()).filter(|other| other.at != found.at);
    let further = |listener: &Listener| listener.certificates.len().saturating_sub(1);
    if others.map(|other| further(&other)).sum::<usize>() + further(&after) > MOST {
        let arn = found.at.balancer.arn();
        return Err(faults::reached("TooManyCertificates", "certificates", "load balancer", MOST, &arn));
    }
    let first = after.certificates.first().cloned();
    tx.put(after);
    let shape = |arn: String| aws::Certificate {
        is_default: Some(first.as_ref() == Some(&arn)),
        certificate_arn: Some(arn),
    };
    Ok(aws::AddListenerCertificatesOutput { certificates: Some(added.into_iter().map(shape).collect()) })
}

/// AWS: one that is not there is as good as removed; the default one stays.
pub fn remove(
    tx: &mut Tx<'_>,
    request: aws::RemoveListenerCertificatesInput,
) -> Result<aws::RemoveListenerCertificatesOutput, Fault> {
    let found = find::listener(tx, tx.caller, &request.listener_arn)?;
    secure(&found)?;
    let removed = arns(request.certificates)?;
    if found.certificates.first().is_some_and(|first| removed.contains(first)) {
        return Err(faults::not_permitted("Default certificate cannot be removed from the listener"));
    }
    let mut after = (*found).clone();
    after.certificates.retain(|arn| !removed.contains(arn));
    tx.put(after);
    Ok(aws::RemoveListenerCertificatesOutput::default())
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeListenerCertificatesInput,
) -> Result<aws::DescribeListenerCertificatesOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let found = find::listener(view, view.caller, &request.listener_arn)?;
    let shown = found.certificates.iter().enumerate().map(|(nth, arn)| {
        let shape = aws::Certificate { certificate_arn: text(arn), is_default: Some(nth == 0) };
        (format!("{nth:05}"), shape)
    });
    let (certificates, next_marker) = page.take(shown);
    Ok(aws::DescribeListenerCertificatesOutput { certificates: Some(certificates), next_marker })
}
