//! aws-ecs
