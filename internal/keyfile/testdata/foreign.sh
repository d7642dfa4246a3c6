#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the key files of other makers anew, for the key and the certificates that
# make.sh has made: GnuTLS's certtool, NSS's pk12util, BouncyCastle (Debian's
# gnutls-bin, libnss3-tools, libbcpkix-java and a JDK) and OpenSSL.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
pass=$(cat password.txt)
legacy='-provider legacy -provider default'

# GnuTLS puts each kind of thing into a part of its own, and writes PEM by default.
certtool --to-p12 --load-certificate cert.pem --load-ca-certificate intermediate.pem --load-privkey pkcs8.pem \
	--p12-name corpus --password "$pass" --outder --outfile gnutls.p12 2> /dev/null
certtool --to-p12 --load-certificate cert.pem --load-privkey pkcs8.pem --pkcs-cipher 3des-pkcs12 --hash sha1 \
	--p12-name corpus --password "$pass" --outder --outfile gnutls-3des.p12 2> /dev/null
certtool --to-p12 --load-certificate cert.pem --load-privkey pkcs8.pem \
	--p12-name corpus --password "$pass" --outfile gnutls-p12.pem 2> /dev/null
certtool --to-p12 --load-certificate cert.pem --load-privkey pkcs8.pem --pkcs-cipher none \
	--p12-name corpus --password "$pass" --outder --outfile gnutls-plain-key.p12 2> /dev/null
certtool --to-p8 --load-privkey pkcs8.pem --password "$pass" --pkcs-cipher 3des-pkcs12 --outfile gnutls-3des.pem 2> /dev/null

# NSS writes BER.
nss() { # name, arguments
	out=$1
	shift
	pk12util -o "$out" -n corpus -d "$tmp/nss" -k "$tmp/none" -W "$pass" "$@" > /dev/null
}
: > "$tmp/none"
mkdir "$tmp/nss"
certutil -N -d "$tmp/nss" --empty-password
openssl pkcs12 -export -in cert.pem -inkey pkcs8.pem -name corpus -passout "pass:$pass" -out "$tmp/in.p12"
pk12util -i "$tmp/in.p12" -d "$tmp/nss" -k "$tmp/none" -W "$pass" > /dev/null
nss nss.p12
nss nss-rc2.p12 -c 'PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC' -C 'PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC'
nss nss-aes.p12 -c AES-128-CBC -C AES-256-CBC -M SHA-384

# BouncyCastle writes BER, too.
cat > "$tmp/BC.java" <<'JAVA'
import java.io.*; import java.security.*; import java.security.cert.Certificate;
public class BC {
  public static void main(String[] a) throws Exception {
    Security.addProvider(new org.bouncycastle.jce.provider.BouncyCastleProvider());
    char[] p = a[2].toCharArray();
    KeyStore in = KeyStore.getInstance("PKCS12", "SunJSSE"), out = KeyStore.getInstance(a[3], "BC");
    in.load(new FileInputStream(a[0]), p); out.load(null, null);
    String n = in.aliases().nextElement();
    out.setKeyEntry(n, in.getKey(n, p), p, in.getCertificateChain(n));
    out.store(new FileOutputStream(a[1]), p);
  }
}
JAVA
bc=/usr/share/java/bcprov.jar:/usr/share/java/bcutil.jar
java -cp "$bc" "$tmp/BC.java" "$tmp/in.p12" bouncycastle.p12 "$pass" PKCS12
java -cp "$bc" "$tmp/BC.java" "$tmp/in.p12" bouncycastle-3des.p12 "$pass" PKCS12-3DES-3DES

# OpenSSL, in forms that others write: streamed BER, settings behind the certificate.
openssl x509 -in cert.pem -trustout -addtrust clientAuth -setalias corpus -out trusted.pem
openssl x509 -in cert.pem -signkey pkcs8.pem -set_serial -5 -days 36500 -out negative-serial.pem 2> /dev/null
openssl pkcs12 -export -in cert.pem -inkey pkcs8.pem -passout "pass:$pass" -keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-2DES $legacy -out openssl3-2des.p12

# As costly as keys get: seconds of work.
openssl pkcs8 -topk8 -in pkcs8.pem -passout "pass:$pass" -iter 5000000 -out pbes2-not-too-many-iterations.pem

chmod 644 -- *.p12 *.pem
