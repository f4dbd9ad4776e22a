type Lines = mp::Queue<Option<String>>; // `None` is the sentinel

fn produce(lines: Lines, text: String) -> mp::Result<()> {
    for line in text.lines() {
        lines.put(&Some(line.to_owned()))?;
    }
    Ok(())
}

fn consume(lines: Lines) -> mp::Result<usize> {
    let mut words = 0;
    while let Some(line) = lines.get()? {
        words += line.split_whitespace().count();
    }
    Ok(words)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let lines = Lines::bounded(10)?;
    let text = "to be or not to be\n".repeat(100);
    let producer = mp::Process::start(produce, (lines.clone(), text))?;
    let consumers = [
        mp::Process::start(consume, (lines.clone(),))?,
        mp::Process::start(consume, (lines.clone(),))?,
    ];

    producer.join()?;
    for _ in &consumers {
        lines.put(&None)?;
    }
    let mut words = 0;
    for p in consumers {
        words += p.into_result()?;
    }
    println!("{words} words");
    Ok(())
}
