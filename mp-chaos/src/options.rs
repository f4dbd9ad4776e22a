//! What is asked for on the command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sabotage::Sabotage;
use crate::scenes::Kind;

pub(crate) const USAGE: &str = "\
usage: cargo xtask chaos [seconds] [--seed N] [--only SCENE] [--plan] [--limit S]
       cargo xtask chaos --seed N --round K [--times N] [--only SCENE] [--plan] [--limit S]

  seconds       how long; 60 when nothing is said
  --seed N      the seed of all rounds; one of this moment when nothing is said
  --round K     only this round
  --times N     this round so often, or until it fails
  --only SCENE  only scenes of this kind
  --plan        prints the plan of each round before it runs
  --limit S     how many seconds a round may take; 60 when nothing is said";

const MINUTE: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) rounds: Rounds,
    pub(crate) only: Option<Kind>,
    pub(crate) shows_plan: bool,
    /// How long a round may take.
    pub(crate) limit: Duration,
    pub(crate) sabotage: Option<Sabotage>,
}

/// Which rounds are played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rounds {
    /// From the first one on, for so long.
    For(Duration),
    /// The same one so often.
    One { round: u64, times: u64 },
}

impl Options {
    /// From the words of the command line.
    pub(crate) fn parse(words: &[String]) -> Result<Options, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options = Options {
            seed: u64::from(now.subsec_nanos()) ^ now.as_secs() << 20,
            rounds: Rounds::For(MINUTE),
            only: None,
            shows_plan: false,
            limit: MINUTE,
            sabotage: None,
        };
        let (mut length, mut round, mut times) = (None, None, None);
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut number = |least: u64, what: &str| {
                let number = words.next().and_then(|number| number.parse().ok());
                number.filter(|number| *number >= least).ok_or(format!(
                    "{word} needs a number, {what}, that is at least {least}\n\n{USAGE}"
                ))
            };
            match word {
                "--seed" => options.seed = number(0, "the seed")?,
                "--round" => round = Some(number(0, "the round")?),
                "--times" => times = Some(number(1, "how often")?),
                "--limit" => options.limit = Duration::from_secs(number(1, "of seconds")?),
                "--plan" => options.shows_plan = true,
                "--only" => {
                    let scenes: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
                    let kind = words.next().and_then(Kind::named);
                    options.only =
                        Some(kind.ok_or(format!("--only needs one of {}", scenes.join(", ")))?);
                }
                "--sabotage" => {
                    let found = words.next().and_then(Sabotage::named);
                    let names = || format!("--sabotage needs one of {}", Sabotage::names());
                    let (sabotage, kind) = found.ok_or_else(names)?;
                    options.sabotage = Some(sabotage);
                    options.only = Some(kind);
                }
                seconds => match seconds.parse() {
                    Ok(seconds) if seconds > 0 && length.is_none() => length = Some(seconds),
                    Ok(_) => {
                        return Err(format!("`{seconds}`: once a number of seconds\n\n{USAGE}"));
                    }
                    Err(_) => return Err(format!("`{seconds}` is no option\n\n{USAGE}")),
                },
            }
        }
        options.rounds = match (length, round, times) {
            (None, Some(round), times) => Rounds::One { round, times: times.unwrap_or(1) },
            (Some(_), Some(_), _) => {
                return Err(format!("seconds or --round, not both\n\n{USAGE}"));
            }
            (_, None, Some(_)) => return Err(format!("--times needs --round\n\n{USAGE}")),
            (length, None, None) => Rounds::For(length.map_or(MINUTE, Duration::from_secs)),
        };
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
        let options = parse("--only locks 20 --seed 9 --plan").unwrap();
        assert_eq!(options.rounds, Rounds::For(Duration::from_secs(20)));
        assert_eq!((options.seed, options.only), (9, Some(Kind::Locks)));
        assert!(options.shows_plan);
        let rounds = |line: &str| parse(line).unwrap().rounds;
        assert_eq!(rounds("--times 7 --round 3"), Rounds::One { round: 3, times: 7 });
        assert_eq!(rounds("--round 0"), Rounds::One { round: 0, times: 1 });
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let lines = [
            "--seed",
            "--seed x",
            "--only everything",
            "--only",
            "--sabotage none",
            "soon",
            "0",
            "1 2",
            "--times 3",
            "--round 3 20",
            "--round 3 --times 0",
            "--limit 0",
        ];
        for line in lines {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
