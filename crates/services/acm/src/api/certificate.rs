//! Certificates by their ARN.

use authority::Seal;
use aws_acm::{
    DeleteCertificateRequest, DescribeCertificateRequest, DescribeCertificateResponse,
    ExportCertificateRequest, ExportCertificateResponse, GetCertificateRequest, GetCertificateResponse,
    ImportCertificateRequest, ImportCertificateResponse,
};
use base::{Fault, Secret};
use service::{Tx, View};
use store::Record;
use wire::Empty;

use super::{Uses, tags};
use crate::behaviour::accept::{Accepted, Offer, accept, check_replacement};
use crate::state::{self, Certificate, find};
use crate::{convert, faults};

/// AWS: imported certificates of an account in a region.
const MOST: usize = 1_000;

pub(super) fn import(
    tx: &mut Tx<'_>,
    seal: &Seal,
    request: ImportCertificateRequest,
) -> Result<ImportCertificateResponse, Fault> {
    let offer = Offer {
        certificate: &request.certificate,
        key: &request.private_key,
        chain: request.certificate_chain.as_deref(),
    };
    let record = match &request.certificate_arn {
        Some(arn) => {
            if request.tags.is_some() {
                return Err(faults::invalid("Tagging is not permitted on re-import."));
            }
            let old = find(tx, tx.caller, arn)?;
            let accepted = accept(&offer, tx.now)?;
            check_replacement(&old.facts, &accepted.facts)?;
            let fresh = (*old).clone();
            Certificate { imported_at: tx.now, ..with(fresh, seal, accepted) }
        }
        None => {
            let tags = tags::of(request.tags.unwrap_or_default())?;
            let accepted = accept(&offer, tx.now)?;
            if tx.scan::<Certificate>(&state::of(tx.caller)).take(MOST).count() == MOST {
                return Err(faults::too_many_certificates());
            }
            let fresh = Certificate {
                account: tx.caller.account.clone(),
                region: tx.caller.region.clone(),
                id: tx.chance.uuid(),
                certificate: String::new(),
                chain: None,
                key: String::new(),
                facts: accepted.facts.clone(),
                created_at: tx.now,
                imported_at: tx.now,
                tags,
            };
            with(fresh, seal, accepted)
        }
    };
    let arn = record.arn().to_string();
    tx.put(record);
    Ok(ImportCertificateResponse { certificate_arn: Some(arn) })
}

/// The record with what was accepted in it, the key sealed under its ARN.
fn with(record: Certificate, seal: &Seal, accepted: Accepted) -> Certificate {
    let Accepted { certificate, chain, key, facts } = accepted;
    let key: &Secret = &key;
    let key = seal.seal(&state::label(record.arn().as_str()), key);
    Certificate { certificate, chain, key, facts, ..record }
}

pub(super) fn describe(
    view: &View<'_>,
    uses: Uses,
    request: &DescribeCertificateRequest,
) -> Result<DescribeCertificateResponse, Fault> {
    let record = find(view, view.caller, &request.certificate_arn)?;
    let users = uses(view, &request.certificate_arn);
    Ok(DescribeCertificateResponse { certificate: Some(convert::detail(&record, users, view.now)) })
}

pub(super) fn get(view: &View<'_>, request: GetCertificateRequest) -> Result<GetCertificateResponse, Fault> {
    let record = find(view, view.caller, &request.certificate_arn)?;
    Ok(GetCertificateResponse {
        certificate: Some(record.certificate.clone()),
        certificate_chain: record.chain.clone(),
    })
}

/// AWS: what was imported is never given out again.
pub(super) fn export(
    view: &View<'_>,
    request: ExportCertificateRequest,
) -> Result<ExportCertificateResponse, Fault> {
    let record = find(view, view.caller, &request.certificate_arn)?;
    Err(faults::invalid(format_args!("Certificate ARN: {} is not a private certificate", record.arn())))
}

pub(super) fn delete(
    tx: &mut Tx<'_>,
    uses: Uses,
    request: &DeleteCertificateRequest,
) -> Result<Empty, Fault> {
    let record = find(tx, tx.caller, &request.certificate_arn)?;
    if !uses(tx, &request.certificate_arn).is_empty() {
        return Err(faults::in_use(&request.certificate_arn, &record.account));
    }
    tx.delete::<Certificate>(&record.key());
    Ok(Empty::default())
}
