//! Machine code as text, for people: `:asm` in the REPL, tests that look for instructions.
//!
//! Backends put their constants behind the code. Where the code ends is found by reading it: behind a return or a jump
//! that no earlier branch leads past, nothing can be executed.

/// The instructions of machine code that runs at `address`, one a line (Intel syntax), then its constants; `None` without
/// the feature `disassembly`, and on machines other than x86-64.
#[cfg(all(feature = "disassembly", target_arch = "x86_64"))]
pub fn disassemble(code: &[u8], address: usize) -> Option<String> {
    use iced_x86::{Decoder, DecoderOptions, Formatter as _, Instruction, IntelFormatter, Mnemonic, OpKind};
    use std::fmt::Write as _;

    let start = address as u64;
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_branch_leading_zeros(false);
    let mut text = String::new();
    let mut instruction = Instruction::default();
    let mut furthest_target = start;
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let _ = write!(text, "{:6x}  ", instruction.ip() - start);
        // Branches are shown relative to the start, so that equal code has equal text wherever it lies.
        if instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64 {
            let target = instruction.near_branch64();
            furthest_target = furthest_target.max(target);
            instruction.set_near_branch64(target.wrapping_sub(start));
        }
        if instruction.is_ip_rel_memory_operand() {
            let place = instruction.ip_rel_memory_address().wrapping_sub(start);
            let mut line = String::new();
            formatter.format(&instruction, &mut line);
            // The operand as a place in this listing.
            match (line.find('['), line.find(']')) {
                (Some(open), Some(close)) => {
                    let _ = writeln!(text, "{}{place:#x}{}", &line[..=open], &line[close..]);
                }
                _ => {
                    let _ = writeln!(text, "{line}");
                }
            }
        } else {
            formatter.format(&instruction, &mut text);
            text.push('\n');
        }
        let ends = matches!(instruction.mnemonic(), Mnemonic::Ret | Mnemonic::Jmp);
        if ends && furthest_target < decoder.ip() {
            break;
        }
    }
    let mut place = decoder.position();
    // Padding brings the constants to a multiple of 4 at least.
    place = (place.next_multiple_of(4)).min(code.len());
    for line in code[place..].chunks(16) {
        let _ = write!(text, "{place:6x}  .data");
        for word in line.chunks(4) {
            let _ = write!(text, " {:08x}", word.iter().rev().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)));
        }
        text.push('\n');
        place += line.len();
    }
    Some(text)
}

/// The instructions of machine code; there is no disassembler for this machine.
#[cfg(not(all(feature = "disassembly", target_arch = "x86_64")))]
pub fn disassemble(_code: &[u8], _address: usize) -> Option<String> {
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::disassemble;

    #[test]
    fn code_ends_at_the_return_that_no_branch_leads_past() {
        // test rdi, rdi; je +1; ret; mov rax, [rip + 1]; ret; constant
        let code = [
            0x48, 0x85, 0xff, 0x74, 0x01, 0xc3, 0x48, 0x8b, 0x05, 0x03, 0, 0, 0, 0xc3, 0xcc, 0xcc, 0x78, 0x56, 0x34,
            0x12,
        ];
        let text = disassemble(&code, 0x1000).expect("x86-64");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            ["0  test rdi,rdi", "3  je short 6", "5  ret", "6  mov rax,[0x10]", "d  ret", "10  .data 12345678"]
        );
    }
}
