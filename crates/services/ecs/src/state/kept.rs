//! What a customer said, kept as said: types of ours that mirror the API's structures field by
//! field, so that nothing that was registered is lost, and a new field of the API fails to compile
//! until somebody has decided about it.

use std::collections::BTreeMap;

/// A record's value with a shape of the API that holds the same.
pub trait Kept: Sized {
    type Shape;

    fn keep(shape: Self::Shape) -> Self;
    fn give(&self) -> Self::Shape;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Kept for $type {
            type Shape = $type;
            fn keep(shape: $type) -> Self {
                shape
            }
            fn give(&self) -> $type {
                self.clone()
            }
        }
    )*};
}

plain!(String, i32, bool, BTreeMap<String, String>);

impl<T: Kept> Kept for Option<T> {
    type Shape = Option<T::Shape>;
    fn keep(shape: Self::Shape) -> Self {
        shape.map(T::keep)
    }
    fn give(&self) -> Self::Shape {
        self.as_ref().map(T::give)
    }
}

impl<T: Kept> Kept for Vec<T> {
    type Shape = Vec<T::Shape>;
    fn keep(shape: Self::Shape) -> Self {
        shape.into_iter().map(T::keep).collect()
    }
    fn give(&self) -> Self::Shape {
        self.iter().map(T::give).collect()
    }
}

/// What equals its default is not written to a record.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines records' structures that mirror `aws_ecs` structures of the same name and fields.
macro_rules! kept {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                #[serde(skip_serializing_if = "crate::state::kept::is_default")]
                pub $field: $type,
            )*
        }

        impl crate::state::kept::Kept for $name {
            type Shape = aws_ecs::$name;
            fn keep(shape: aws_ecs::$name) -> Self {
                $name { $($field: crate::state::kept::Kept::keep(shape.$field),)* }
            }
            fn give(&self) -> aws_ecs::$name {
                aws_ecs::$name { $($field: crate::state::kept::Kept::give(&self.$field),)* }
            }
        }
    )*};
}

pub(crate) use kept;
