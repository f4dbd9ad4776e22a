//! Three stages, each in processes of its own: lines are read, words are counted, counts are summed up. The queue
//! between two stages is bounded, so a fast stage waits for a slow one and memory stays small.

use std::collections::HashMap;

type Counts = HashMap<String, u64>;

/// What goes from stage to stage: an item of work, or the end of it.
type Work<T> = Option<T>;

fn read(lines: mp::Queue<Work<String>>, text: String) -> mp::Result<()> {
    for line in text.lines() {
        lines.put(&Some(line.to_owned()))?;
    }
    lines.put(&None)?;
    Ok(())
}

fn count(lines: mp::Queue<Work<String>>, counts: mp::Queue<Work<Counts>>) -> mp::Result<()> {
    while let Some(line) = lines.get()? {
        let mut words = Counts::new();
        for word in line.split_whitespace() {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
        counts.put(&Some(words))?;
    }
    lines.put(&None)?; // the next worker has to see the end, too
    counts.put(&None)?;
    Ok(())
}

fn sum_up(counts: mp::Queue<Work<Counts>>, workers: usize) -> mp::Result<Counts> {
    let (mut total, mut ended) = (Counts::new(), 0);
    while ended < workers {
        match counts.get()? {
            Some(words) => {
                words.into_iter().for_each(|(word, n)| *total.entry(word).or_default() += n);
            }
            None => ended += 1,
        }
    }
    Ok(total)
}

#[mp::main]
fn main() -> mp::Result<()> {
    const WORKERS: usize = 2;
    let (lines, counts) = (mp::Queue::bounded(100)?, mp::Queue::bounded(100)?);
    let text = "the quick brown fox jumps over the lazy dog\nthe dog sleeps\n".repeat(500);

    let reader = mp::Process::builder(read, (lines.clone(), text)).name("reader").start()?;
    let counters = (0..WORKERS)
        .map(|_| mp::Process::start(count, (lines.clone(), counts.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    let summer = mp::Process::builder(sum_up, (counts, WORKERS)).name("summer").start()?;

    let total = summer.result()?;
    reader.join()?;
    counters.iter().try_for_each(mp::Process::join)?;
    println!("'the' was counted {} times, 'dog' {} times", total["the"], total["dog"]);
    mp::ensure!((total["the"], total["dog"]) == (1500, 1000), "words were lost: {total:?}");
    Ok(())
}
