//! What requests take: units, and tokens of language models.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a request takes: a vector, of which each limit counts one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Requests, or whatever the platform counts calls in.
    pub units: u64,
    /// Tokens of a language model, those that go in and those that come out together; 0 where no limit counts them.
    pub tokens: u64,
    /// Those that go in, for limits that count them apart.
    pub input_tokens: u64,
    /// Those that come out.
    pub output_tokens: u64,
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { units: 0, tokens: 0, input_tokens: 0, output_tokens: 0 };
    /// One unit, no tokens: what a plain call takes.
    pub const ONE: Self = Self::of(1);
    /// More than any limit allows.
    pub const MAX: Self = Self { units: u64::MAX, tokens: u64::MAX, input_tokens: u64::MAX, output_tokens: u64::MAX };

    /// A cost of `units` units.
    #[must_use]
    pub const fn of(units: u64) -> Self {
        Self { units, ..Self::ZERO }
    }

    /// The same cost with so many tokens, of which nobody says which go in and which come out.
    #[must_use]
    pub const fn with_tokens(self, tokens: u64) -> Self {
        Self { tokens, input_tokens: 0, output_tokens: 0, ..self }
    }

    /// The same cost with so many tokens that go in and come out.
    #[must_use]
    pub const fn with_tokens_apart(self, input_tokens: u64, output_tokens: u64) -> Self {
        Self { tokens: input_tokens.saturating_add(output_tokens), input_tokens, output_tokens, ..self }
    }

    /// The component that `dimension` counts.
    #[must_use]
    pub const fn along(self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Units => self.units,
            Dimension::Tokens => self.tokens,
            Dimension::InputTokens => self.input_tokens,
            Dimension::OutputTokens => self.output_tokens,
        }
    }

    /// The same cost with one component replaced.
    #[must_use]
    pub const fn with(self, dimension: Dimension, amount: u64) -> Self {
        match dimension {
            Dimension::Units => Self { units: amount, ..self },
            Dimension::Tokens => Self { tokens: amount, ..self },
            Dimension::InputTokens => Self { input_tokens: amount, ..self },
            Dimension::OutputTokens => Self { output_tokens: amount, ..self },
        }
    }

    /// Whether every component is at most `other`'s.
    #[must_use]
    pub const fn fits_in(self, other: Self) -> bool {
        self.units <= other.units
            && self.tokens <= other.tokens
            && self.input_tokens <= other.input_tokens
            && self.output_tokens <= other.output_tokens
    }

    /// The smaller of each component.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        self.by_component(other, u64::min)
    }

    /// The sum of each component, at most `u64::MAX`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.by_component(other, u64::saturating_add)
    }

    /// The difference of each component, at least 0.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.by_component(other, u64::saturating_sub)
    }

    fn by_component(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            units: join(self.units, other.units),
            tokens: join(self.tokens, other.tokens),
            input_tokens: join(self.input_tokens, other.input_tokens),
            output_tokens: join(self.output_tokens, other.output_tokens),
        }
    }
}

/// Which component of a [`Cost`] a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Dimension {
    /// [`Cost::units`].
    #[default]
    Units,
    /// [`Cost::tokens`].
    Tokens,
    /// [`Cost::input_tokens`].
    InputTokens,
    /// [`Cost::output_tokens`].
    OutputTokens,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Units, Self::Tokens, Self::InputTokens, Self::OutputTokens];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.name() == name)
    }

    /// Its name, as settings and messages have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
        }
    }

    /// Whether a call says beforehand how much it may take, and afterwards how much it has taken.
    #[must_use]
    pub const fn is_estimated(self) -> bool {
        !matches!(self, Self::Units)
    }
}

impl fmt::Display for Dimension {
    /// Behind a number: nothing for units, which are what is counted unless somebody says otherwise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Units => "",
            Self::Tokens => " tokens",
            Self::InputTokens => " input tokens",
            Self::OutputTokens => " output tokens",
        })
    }
}
