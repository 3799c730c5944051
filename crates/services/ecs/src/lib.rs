//! service-ecs
