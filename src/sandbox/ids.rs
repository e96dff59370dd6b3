//! Identifiers as AWS shapes them, from a seed: the same seed gives the same sandbox.
//!
//! Guarantees: deterministic, no clock, no system randomness. Never use it for anything secret.

/// A seeded maker of identifiers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// Starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x6C61_6267_7561_7264 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..below`; 0 when `below` is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.next_u64() % below }
    }

    /// `digits` lower-case hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.next_u64()));
        }
        text.truncate(digits);
        text
    }

    /// 32 hexadecimal digits: an ECS task id.
    pub fn hex32(&mut self) -> String {
        self.hex(32)
    }

    /// `PREFIX-` and 17 hexadecimal digits: any EC2 id.
    pub fn ec2(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{}", self.hex(16))
    }

    /// A security group id.
    pub fn sg(&mut self) -> String {
        self.ec2("sg")
    }

    /// A network interface id.
    pub fn eni(&mut self) -> String {
        self.ec2("eni")
    }

    /// A UUID (version 4 in shape).
    pub fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!("{}-{}-4{}-a{}-{}", &hex[0..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
    }

    /// A request id (a UUID).
    pub fn request_id(&mut self) -> String {
        self.uuid()
    }

    /// Nineteen decimal digits, as in `ecs-svc/…`.
    pub fn deployment(&mut self) -> String {
        format!("{:019}", self.next_u64() % 10_000_000_000_000_000_000)
    }

    /// A unique id of IAM: `prefix` (`AROA`, `AIDA`) and seventeen capitals and digits.
    pub fn iam(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut text = prefix.to_owned();
        for _ in 0..17 {
            text.push(char::from(LETTERS[(self.next_u64() % 32) as usize]));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_another_seed_others() {
        let (mut one, mut same, mut other) = (Ids::new(7), Ids::new(7), Ids::new(8));
        let id = one.hex32();
        assert_eq!(id, same.hex32());
        assert_ne!(id, other.hex32());
        assert_eq!(id.len(), 32);
    }

    #[test]
    fn ids_have_the_shapes_that_aws_gives_them() {
        let mut ids = Ids::new(1);
        assert_eq!(ids.sg().len(), "sg-0123456789abcdef0".len());
        assert_eq!(ids.uuid().len(), 36);
        assert_eq!(ids.deployment().len(), 19);
        assert_eq!(ids.iam("AROA").len(), 21);
    }
}
