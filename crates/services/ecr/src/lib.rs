//! service-ecr
