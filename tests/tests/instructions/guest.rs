//! The memory of the filter, as its host sees it.

use anyhow::{Context as _, Result};
use wasmi::{Caller, Extern, Memory};

use crate::host::Host;

/// The filter while it calls its host.
pub struct Guest<'a>(pub Caller<'a, Host>);

impl Guest<'_> {
    pub fn host(&mut self) -> &mut Host {
        self.0.data_mut()
    }

    pub fn read(&self, address: u32, length: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.memory()?.read(&self.0, address as usize, &mut bytes)?;
        Ok(bytes)
    }

    pub fn read_text(&self, address: u32, length: u32) -> Result<String> {
        Ok(String::from_utf8(self.read(address, length)?)?)
    }

    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        Ok(self.memory()?.write(&mut self.0, address as usize, bytes)?)
    }

    pub fn write_u32(&mut self, address: u32, value: u32) -> Result<()> {
        self.write(address, &value.to_le_bytes())
    }

    /// Lets the filter allocate memory for these bytes, and tells it where they are and how many.
    pub fn give(&mut self, bytes: &[u8], address_to: u32, length_to: u32) -> Result<()> {
        let length = u32::try_from(bytes.len())?;
        let allocate = self.0.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
        let allocate = allocate.context("the filter allocates nothing")?;
        let address = allocate.typed::<u32, u32>(&self.0)?.call(&mut self.0, length)?;
        self.write(address, bytes)?;
        self.write_u32(address_to, address)?;
        self.write_u32(length_to, length)
    }

    fn memory(&self) -> Result<Memory> {
        self.0.get_export("memory").and_then(Extern::into_memory).context("the filter has no memory")
    }
}
