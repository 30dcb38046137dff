//! Words in memory: the ones that several CPUs write, and rows of them.

use core::ptr;

/// A number of which the compiler forgets what it knows: it would leave out a bound that the verifier needs.
#[inline(always)]
pub(crate) fn unknown(mut n: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    // SAFETY: it moves a register to itself. Without an instruction two lines of debug information would be at one place, which the
    // kernel refuses.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) n, options(pure, nomem, nostack));
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        n = core::hint::black_box(n);
    }
    n
}

/// Sets to zero, a word at a time: what the compiler makes of it otherwise, where it does not fit in a few stores, is a loop over
/// bytes, as slow to run as to verify.
#[inline(always)]
pub(crate) fn clear<T>(value: &mut T) {
    const { assert!(align_of::<T>() >= 4 && size_of::<T>().is_multiple_of(4)) };
    let (wide, narrow) = (ptr::from_mut(value).cast::<u64>(), ptr::from_mut(value).cast::<u32>());
    let mut i = 0;
    if align_of::<T>() == 8 {
        while i < size_of::<T>() / 8 {
            // SAFETY: the word lies within the value, which is aligned for it and made of integers.
            unsafe { wide.wrapping_add(i).write_volatile(0) };
            i += 1;
        }
        return;
    }
    while i < size_of::<T>() / 4 {
        // SAFETY: as above.
        unsafe { narrow.wrapping_add(i).write_volatile(0) };
        i += 1;
    }
}

/// Copies, a word at a time: see [`clear`].
#[inline(always)]
pub(crate) fn copy<T: Copy>(into: &mut T, from: &T) {
    const { assert!(align_of::<T>() == 8) };
    let (into, from) = (ptr::from_mut(into).cast::<u64>(), ptr::from_ref(from).cast::<u64>());
    let mut i = 0;
    while i < size_of::<T>() / 8 {
        // SAFETY: the word lies within the value, which is aligned for it and made of integers.
        let word = unsafe { from.wrapping_add(i).read() };
        // SAFETY: as above.
        unsafe { into.wrapping_add(i).write_volatile(word) };
        i += 1;
    }
}

/// Writes a name or an address, which in a record stand at a multiple of 8.
#[inline(always)]
pub(crate) fn put_16(into: &mut [u8; 16], halves: [u64; 2]) {
    // SAFETY: the value is as long, and aligned where records have it.
    unsafe { ptr::from_mut(into).cast::<[u64; 2]>().write_volatile(halves) };
}

/// The halves of a name or an address, which in a record stand at a multiple of 8.
#[inline(always)]
pub(crate) fn halves(of: &[u8; 16]) -> [u64; 2] {
    // SAFETY: as in `put_16`.
    unsafe { ptr::from_ref(of).cast::<[u64; 2]>().read() }
}

/// Adds to a value that another CPU may be adding to or draining.
#[inline(always)]
pub(crate) fn add(value: &mut u64, n: u64) {
    // rustc's BPF target has no read-modify-write atomics, though LLVM's and the kernel's have (v3).
    #[cfg(target_arch = "bpf")]
    // SAFETY: `value` is an aligned u64 that is valid for the whole program.
    unsafe {
        core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) ptr::from_mut(value), in(reg) n);
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        *value = value.wrapping_add(n);
    }
}

/// As [`add`], for 32 bits.
#[inline(always)]
pub(crate) fn add32(value: &mut u32, n: u32) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: `value` is an aligned u32 that is valid for the whole program.
    unsafe {
        core::arch::asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) ptr::from_mut(value), in(wreg) n);
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        *value = value.wrapping_add(n);
    }
}

/// Puts `new` in the place of `old`, unless somebody else was first.
#[inline(always)]
pub(crate) fn replace32(value: &mut u32, old: u32, new: u32) -> bool {
    #[cfg(target_arch = "bpf")]
    {
        let found: u32;
        // SAFETY: `value` is an aligned u32 that is valid for the whole program.
        unsafe {
            core::arch::asm!(
                "w0 = cmpxchg32_32({0} + 0, w0, {1})",
                in(reg) ptr::from_mut(value), in(wreg) new, inlateout("w0") old => found
            );
        }
        found == old
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        core::mem::replace(value, new) == old
    }
}

/// As [`replace32`], for 64 bits.
#[inline(always)]
pub(crate) fn replace64(value: &mut u64, old: u64, new: u64) -> bool {
    #[cfg(target_arch = "bpf")]
    {
        let found: u64;
        // SAFETY: `value` is an aligned u64 that is valid for the whole program.
        unsafe {
            core::arch::asm!(
                "r0 = cmpxchg_64({0} + 0, r0, {1})",
                in(reg) ptr::from_mut(value), in(reg) new, inlateout("r0") old => found
            );
        }
        found == old
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        core::mem::replace(value, new) == old
    }
}
