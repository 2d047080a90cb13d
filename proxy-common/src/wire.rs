//! The proof that a type may cross between kernel and user space byte by byte.

/// Defines a wire struct: `repr(C, align(4))`, private fields, and the sum of its fields' sizes for [`wire_types!`].
///
/// Alignment 4 because LLVM copies alignment-1 structs byte by byte on BPF.
macro_rules! wire_struct {
    ($(#[$attr:meta])* pub struct $name:ident $(<$param:ident>)? {
        $($(#[$field_attr:meta])* $field:ident: $ty:ty,)+
    }) => {
        $(#[$attr])*
        #[derive(Clone, Copy, PartialEq, Eq, zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[cfg_attr(feature = "user", derive(Debug, PartialOrd, Ord))]
        #[repr(C, align(4))]
        pub struct $name $(<$param>)? {
            $($(#[$field_attr])* pub(crate) $field: $ty,)+
        }

        impl $(<$param>)? $name $(<$param>)? {
            /// What the fields take without any padding.
            pub(crate) const FIELD_BYTES: usize = 0 $(+ size_of::<$ty>())+;
        }
    };
}

/// Defines a set of bits as a field of a wire struct, with the constants that follow it.
macro_rules! wire_bits {
    ($(#[$attr:meta])* pub struct $name:ident($int:ty);
     $($(#[$bit_attr:meta])* $bit:ident = $value:expr;)+) => {
        $(#[$attr])*
        #[derive(Clone, Copy, PartialEq, Eq, zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[cfg_attr(feature = "user", derive(Debug, PartialOrd, Ord))]
        #[repr(C)]
        pub struct $name {
            bits: $int,
        }

        impl $name {
            $($(#[$bit_attr])* pub const $bit: Self = Self { bits: $value };)+

            /// Both sets of bits.
            #[must_use]
            #[inline(always)]
            pub const fn with(self, other: Self) -> Self {
                Self { bits: self.bits | other.bits }
            }

            /// Whether every bit of `other` is set.
            #[must_use]
            #[inline(always)]
            pub const fn has(self, other: Self) -> bool {
                self.bits & other.bits == other.bits
            }
        }
    };
}

/// Proves for each listed type that it has no padding and accepts any bytes, pins its size, and makes it `aya::Pod`.
///
/// zerocopy's `IntoBytes` cannot be derived for a generic type of alignment 4, hence the comparison with `FIELD_BYTES`.
macro_rules! wire_types { ($($ty:ty = $size:literal),+ $(,)?) => {$(
    const _: () = {
        const fn any_bytes_are_valid<T: zerocopy::FromBytes + zerocopy::Immutable + Copy>() {}
        any_bytes_are_valid::<$ty>();
        assert!(size_of::<$ty>() == <$ty>::FIELD_BYTES, "padding");
        assert!(size_of::<$ty>() == $size, "size");
        assert!(align_of::<$ty>() == 4, "alignment");
    };
    // SAFETY: the assertions above prove that the type has no padding and no invalid bit patterns.
    #[cfg(feature = "user")]
    unsafe impl aya::Pod for $ty {}
)+}; }

pub(crate) use {wire_bits, wire_struct, wire_types};
