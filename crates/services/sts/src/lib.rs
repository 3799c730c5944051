//! service-sts
