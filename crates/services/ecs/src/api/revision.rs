//! Service revisions: DescribeServiceRevisions.

use aws_ecs as aws;
use base::Fault;
use service::View;

use super::deployment::missing;
use crate::convert::service as convert;
use crate::faults::service::{ServiceDeploymentError, ServiceError};
use crate::state::definition::TaskDefinition;
use crate::state::revision::Revision;
use crate::state::service::ServiceId;

/// AWS: revisions of one request.
const MOST: usize = 20;

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeServiceRevisionsRequest,
) -> Result<aws::DescribeServiceRevisionsResponse, Fault> {
    let arns = request.service_revision_arns;
    if arns.is_empty() {
        return Err(ServiceDeploymentError::Empty("serviceRevisionArns").into());
    }
    if arns.len() > MOST {
        return Err(ServiceError::TooMany { list: "serviceRevisionArns", most: MOST }.into());
    }
    let (mut found, mut failures) = (Vec::with_capacity(arns.len()), Vec::new());
    for arn in arns {
        let named = ServiceId::of_arn("service-revision", &arn).filter(|(_, last)| !last.is_empty());
        let (at, id) = named.ok_or_else(|| ServiceDeploymentError::RevisionArn(arn.clone()))?;
        let is_ours = at.account == view.caller.account && at.region == view.caller.region;
        match view.get::<Revision>(&Revision::key_of(&at, &id)).filter(|_| is_ours) {
            None => failures.push(missing(arn)),
            Some(revision) => {
                let key =
                    TaskDefinition::key_of(&at.account, &at.region, &revision.family, revision.revision);
                let definition = view.get::<TaskDefinition>(&key);
                found.push(convert::revision(&revision, definition.as_deref()));
            }
        }
    }
    Ok(aws::DescribeServiceRevisionsResponse { service_revisions: Some(found), failures: Some(failures) })
}
