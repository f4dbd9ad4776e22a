//! What is asked for on the command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sabotage::Sabotage;
use crate::scenes::Kind;

pub(crate) const USAGE: &str = "\
usage: cargo xtask chaos [seconds] [--seed N] [--round K] [--only SCENE] [--times N] [--plan]

  seconds       how long; 60 when nothing is said
  --seed N      the seed of all rounds; one of this moment when nothing is said
  --round K     only this round
  --times N     this round so often, or until it fails
  --only SCENE  only scenes of this kind
  --plan        prints the plan of each round before it runs";

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    pub(crate) round: Option<u64>,
    pub(crate) times: u64,
    pub(crate) only: Option<Kind>,
    pub(crate) shows_plan: bool,
    /// How long a round may take.
    pub(crate) limit: Duration,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Options {
    /// From the words of the command line.
    pub(crate) fn parse(words: &[String]) -> Result<Options, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options = Options {
            length: Duration::from_secs(60),
            seed: u64::from(now.subsec_nanos()) ^ now.as_secs() << 20,
            round: None,
            times: 1,
            only: None,
            shows_plan: false,
            limit: Duration::from_secs(60),
            sabotage: None,
        };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut number = |what: &str| {
                let number = words.next().and_then(|number| number.parse::<u64>().ok());
                number.ok_or(format!("{word} needs a number, {what}\n\n{USAGE}"))
            };
            match word {
                "--seed" => options.seed = number("the seed")?,
                "--round" => options.round = Some(number("the round")?),
                "--times" => options.times = number("how often")?,
                "--limit" => options.limit = Duration::from_secs(number("of seconds")?),
                "--plan" => options.shows_plan = true,
                "--only" => {
                    let scenes: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
                    let kind = words.next().and_then(Kind::named);
                    options.only =
                        Some(kind.ok_or(format!("--only needs one of {}", scenes.join(", ")))?);
                }
                "--sabotage" => {
                    let found = words.next().and_then(Sabotage::named);
                    let (sabotage, kind) = found.ok_or("there is no such sabotage")?;
                    options.sabotage = Some(sabotage);
                    options.only = Some(kind);
                }
                seconds => match seconds.parse() {
                    Ok(seconds) => options.length = Duration::from_secs(seconds),
                    Err(_) => return Err(format!("`{seconds}` is no option\n\n{USAGE}")),
                },
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let options = parse("--round 3 20 --only locks --seed 9 --plan").unwrap();
        assert_eq!((options.seed, options.round), (9, Some(3)));
        assert_eq!(options.length, Duration::from_secs(20));
        assert_eq!((options.only, options.shows_plan), (Some(Kind::Locks), true));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for line in ["--seed", "--seed x", "--only everything", "--sabotage none", "soon"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
