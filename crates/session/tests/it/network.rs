//! A network of one direction that loses, doubles and swaps frames, by chance.

use base::{Chance, Timestamp};
use bytes::Bytes;

/// How bad it is, in percent.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub lost: u64,
    pub doubled: u64,
    /// Up to so many milliseconds; what is slower is overtaken.
    pub delay: u64,
}

pub struct Network {
    weather: Weather,
    chance: Chance,
    under_way: Vec<(Timestamp, Bytes)>,
}

impl Network {
    pub fn new(weather: Weather, chance: Chance) -> Self {
        Network { weather, chance, under_way: Vec::new() }
    }

    pub fn send(&mut self, frame: Bytes, now: Timestamp) {
        let copies = if self.chance.below(100) < self.weather.doubled { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance.below(100) >= self.weather.lost {
                let delay = std::time::Duration::from_millis(1 + self.chance.below(self.weather.delay));
                self.under_way.push((now + delay, frame.clone()));
            }
        }
    }

    /// What has arrived by now.
    pub fn arrived(&mut self, now: Timestamp) -> Vec<Bytes> {
        let (mut arrived, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(at, _)| *at <= now);
        self.under_way = rest;
        arrived.sort_by_key(|(at, _)| *at);
        arrived.into_iter().map(|(_, frame)| frame).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// When the next frame arrives.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.under_way.iter().map(|(at, _)| *at).min()
    }
}
