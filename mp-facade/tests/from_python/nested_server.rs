struct Studio {
    titles: mp::ListProxy<String>,
}

#[mp::managed]
impl Studio {
    pub fn new() -> Self {
        Studio { titles: mp::managed_list([]) }
    }

    pub fn paint(&self, title: String) -> mp::Result<mp::MemoryBlockProxy> {
        let canvas = mp::MemoryBlock::new(100)?;
        canvas.write_at(0, title.as_bytes())?;
        self.titles.push(title)?;
        Ok(mp::managed_memoryblock(canvas))
    }

    pub fn catalogue(&self) -> mp::ListProxy<String> {
        self.titles.clone()
    }
}

#[mp::main]
fn main() -> mp::Result<()> {
    let server = mp::ServerProcess::start()?;
    let studio = server.create(Studio::args())?;
    let picture = studio.paint("Sunrise".to_owned())?;
    let mut title = [0; 7];
    picture.read_at(0, &mut title)?;
    println!("{}", std::str::from_utf8(&title)?);
    let catalogue = studio.catalogue()?;
    studio.paint("Noon".to_owned())?;
    println!("{}", catalogue.to_vec()?.join(" "));
    Ok(())
}
