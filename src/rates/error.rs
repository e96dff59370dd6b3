//! Why prices could not be taken.
//!
//! Guarantee: each says what happened, to what, why, and what to do next; nothing was changed then.

use std::{io, path::PathBuf};

/// Why prices could not be taken. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RatesError {
    /// A file cannot be read.
    #[error("the price file {} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file ends in the middle.
    #[error("{name} ends in the middle; no price was taken; fetch it again, whole")]
    Cut {
        /// Which.
        name: String,
    },
    /// The file is not what it was when AWS wrote it.
    #[error("{name} is damaged ({why}); no price was taken; fetch it again")]
    Damaged {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The file is something else.
    #[error(
        "{name} is no price file of AWS's ({why}); no price was taken; labguard reads the index.json of one offer, such as \
         https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonECS/current/us-east-1/index.json"
    )]
    Foreign {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Prices in another currency.
    #[error(
        "the prices in {name} are in {found}, and labguard counts in US dollars; no price was taken; say what they are in \
         dollars under [rates.REGION] of the configuration"
    )]
    Currency {
        /// Which.
        name: String,
        /// What there is.
        found: String,
    },
    /// Nothing that is ours.
    #[error("{name} has no price that labguard knows{of}; no price was taken; it takes prices from {offers}")]
    Nothing {
        /// Which.
        name: String,
        /// The offer and region that it was looked for, in words.
        of: String,
        /// The offers that have some.
        offers: String,
    },
    /// No answer.
    #[error(
        "{url} cannot be fetched ({why}); check the address and the network, or fetch the file in another way and import that"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// What is kept cannot be used.
    #[error("the imported prices in {} cannot be used ({why}); nothing was changed; remove that file and import anew", path.display())]
    Kept {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Nothing can be written there.
    #[error("{} cannot be written; nothing was changed; make room there, or let labguard write there", path.display())]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
