use std::collections::HashSet;
use std::sync::OnceLock;

static KNOWN: OnceLock<HashSet<String>> = OnceLock::new(); // one in each worker

fn load(words: String) -> mp::Result<()> {
    KNOWN.get_or_init(|| words.split_whitespace().map(str::to_owned).collect());
    Ok(())
}

fn misspelt(line: String) -> mp::Result<Vec<String>> {
    let known = KNOWN.get().expect("the initializer has run");
    let words = line.split_whitespace().filter(|word| !known.contains(*word));
    Ok(words.map(str::to_owned).collect())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let words = "to be or not that is the question whether tis nobler".to_owned();
    let lines = ["to be or ont to be", "that is teh question", "wether tis nobler"];
    let mut found = Vec::new();
    let pool = mp::Pool::builder().processes(2).initializer(load, (words,)).start()?;
    for some in pool.imap_unordered(misspelt, lines.map(str::to_owned))? {
        found.extend(some?); // whichever is ready
    }
    found.sort();
    println!("{}", found.join(" "));
    Ok(())
}
