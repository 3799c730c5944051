//! service-logs
