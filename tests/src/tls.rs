//! A certificate of the demo's own, and connections to who shows it.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate for `localhost` that nobody has signed but itself.
#[derive(Clone, Debug)]
pub struct Certificate {
    dir: PathBuf,
}

impl Certificate {
    /// The one in that folder. It is made if it is not there: a browser that was told to accept it need not be told again.
    ///
    /// # Errors
    /// Where it can neither be found nor made.
    pub fn in_folder(dir: &Path) -> Result<Self> {
        let certificate = Self { dir: dir.to_owned() };
        if !(certificate.file().exists() && certificate.key_file().exists()) {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).context("a certificate")?;
            let mut key = fs::OpenOptions::new();
            let mut key = key.write(true).create(true).truncate(true).mode(0o600).open(certificate.key_file())?;
            key.write_all(made.signing_key.serialize_pem().as_bytes())?;
            fs::write(certificate.file(), made.cert.pem())?;
        }
        Ok(certificate)
    }

    /// The certificate as PEM.
    pub fn file(&self) -> PathBuf {
        self.dir.join("tls.crt")
    }

    /// Its key as PEM.
    pub fn key_file(&self) -> PathBuf {
        self.dir.join("tls.key")
    }

    /// Connects to who shows this certificate, and to nobody else.
    ///
    /// # Errors
    /// Where nobody does.
    pub async fn connect(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(self.file())?)?;
        let config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?)
    }
}
