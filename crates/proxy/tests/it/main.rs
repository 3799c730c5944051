mod soak;
mod tls;
