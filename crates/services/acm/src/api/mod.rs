//! One file per resource; this one says which handler answers what, and on which members it acts.

mod certificate;
mod list;
mod tags;

use aws_acm::op;
use service::{Acts, Operation};

use crate::Config;

pub(crate) fn operations(config: &Config) -> Vec<Operation> {
    let (seal, uses) = (config.seal.clone(), config.uses);
    vec![
        Operation::write::<op::ImportCertificate>(Acts::All, move |tx, request| {
            certificate::import(tx, &seal, request)
        }),
        Operation::read::<op::DescribeCertificate>(Acts::All, move |view, request| {
            certificate::describe(view, uses, &request)
        }),
        Operation::read::<op::GetCertificate>(Acts::All, certificate::get),
        Operation::read::<op::ExportCertificate>(Acts::All, certificate::export),
        Operation::write::<op::DeleteCertificate>(Acts::All, move |tx, request| {
            certificate::delete(tx, uses, &request)
        }),
        Operation::read::<op::ListCertificates>(Acts::All, move |view, request| {
            list::list(view, uses, request)
        }),
        Operation::write::<op::AddTagsToCertificate>(Acts::All, tags::add),
        Operation::write::<op::RemoveTagsFromCertificate>(Acts::All, tags::remove),
        Operation::read::<op::ListTagsForCertificate>(Acts::All, tags::list),
    ]
}

/// [`Config::uses`].
type Uses = fn(&store::Snapshot, &str) -> Vec<String>;
