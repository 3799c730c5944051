//! aws-ecr
