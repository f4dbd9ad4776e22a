//! A simulation in lock-step: all processes finish a round before any begins the next, and one of
//! them sums the round up in between.

use std::sync::OnceLock;

const PARTIES: usize = 3;
const ROUNDS: usize = 4;

/// What every process needs for the action of the barrier, which takes no arguments.
static BOARD: OnceLock<Board> = OnceLock::new();

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Board {
    contributions: mp::Array<u64>,
    totals: mp::Array<u64>,
    round: mp::Value<u64>,
}

/// Runs in one of the parties, when all have come and before any goes on.
fn sum_up() -> mp::Result<()> {
    let Some(board) = BOARD.get() else { mp::bail!("there is no board") };
    let total = board.contributions.to_vec()?.iter().sum();
    let round = usize::try_from(board.round.get()?)?;
    board.totals.set(round, total)?;
    board.round.update(|round| *round += 1)?;
    Ok(())
}

fn party(
    number: usize,
    board: Board,
    (summed_up, read): (mp::Barrier, mp::Barrier),
) -> mp::Result<u64> {
    let board = BOARD.get_or_init(|| board);
    let mut seen = 0;
    for round in 0..ROUNDS {
        board.contributions.set(number, u64::try_from((number + 1) * (round + 1))?)?;
        summed_up.wait()?;
        seen += board.totals.get(round)?; // the sum of all, whoever was fast or slow
        read.wait()?;
    }
    Ok(seen)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let board = Board {
        contributions: mp::Array::zeroed(PARTIES)?,
        totals: mp::Array::zeroed(ROUNDS)?,
        round: mp::Value::new(0)?,
    };
    let summed_up = mp::Barrier::builder(PARTIES).action(sum_up).build()?;
    let barriers = (summed_up, mp::Barrier::new(PARTIES)?);
    let parties = (0..PARTIES)
        .map(|number| mp::Process::start(party, (number, board.clone(), barriers.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    for p in parties {
        println!("a party saw {}", p.into_result()?);
    }
    println!("totals by round: {:?}", board.totals.to_vec()?);
    Ok(())
}
