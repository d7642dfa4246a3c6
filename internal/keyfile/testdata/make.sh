#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the corpus of key files anew, in the directory of this script. Needs
# OpenSSL 3 with its legacy provider and keytool of Java 17 or later. All but
# the last few files hold one RSA key and its certificate.
set -eu
export LC_ALL=C.UTF-8
cd "$(dirname "$0")"
rm -f -- *.pem *.p12 *.jks *.der *.txt
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
pass=corpus-password
printf '%s\n' "$pass" > password.txt
legacy='-provider legacy -provider default'

# Three levels. The dates are fixed, which "openssl x509" cannot do before 3.4.
cat > "$tmp/ca.cnf" <<EOF
[ca]
default_ca = corpus
[corpus]
database = $tmp/index
serial = $tmp/serial
new_certs_dir = $tmp
default_md = sha256
policy = any
email_in_dn = no
unique_subject = no
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
[any]
commonName = supplied
[ca_ext]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
[leaf_ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
EOF
: > "$tmp/index"
echo 01 > "$tmp/serial"
new() { # key, common name, extensions, arguments that say who signs
	openssl req -new -key "$1" -subj "/CN=$2" -out "$tmp/csr"
	extensions=$3
	out=$4
	shift 4
	openssl ca -batch -notext -config "$tmp/ca.cnf" -extensions "$extensions" -in "$tmp/csr" -out "$out" "$@" 2> "$tmp/log" || {
		cat "$tmp/log" >&2
		exit 1
	}
}
rsa() { openssl genpkey -algorithm "$2" -pkeyopt rsa_keygen_bits:2048 -out "$1" 2> /dev/null; }
ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
ec "$tmp/root.key"
ec "$tmp/middle.key"
new "$tmp/root.key" 'corpus root' ca_ext "$tmp/root" -selfsign -keyfile "$tmp/root.key"
new "$tmp/middle.key" 'corpus intermediate' ca_ext "$tmp/middle" -cert "$tmp/root" -keyfile "$tmp/root.key"
key=pkcs8.pem
rsa "$key" RSA
new "$key" 'corpus leaf' leaf_ext cert.pem -cert "$tmp/middle" -keyfile "$tmp/middle.key"

# PEM, the key plain.
openssl rsa -in "$key" -traditional -out pkcs1.pem 2> /dev/null
{
	echo 'Bag Attributes'
	echo '    friendlyName: root'
	openssl x509 -in "$tmp/root" -subject
	echo 'Bag Attributes: <Empty Attributes>'
	openssl x509 -in "$tmp/middle" -subject -issuer
	echo 'Key Attributes: <No Attributes>'
	cat "$key"
	openssl x509 -in cert.pem -subject -issuer
} > shuffled.pem
openssl x509 -in "$tmp/middle" -out intermediate.pem

# PEM, the key encrypted as PKCS#8 with PBES2.
pkcs8() { # name, arguments
	out=$1
	shift
	openssl pkcs8 -topk8 -in "$key" -passout "pass:$pass" -out "$out" "$@"
}
pkcs8 pbes2-aes256-sha256.pem
pkcs8 pbes2-aes128-sha1.pem -v2 aes-128-cbc -v2prf hmacWithSHA1
pkcs8 pbes2-aes192-sha224.pem -v2 aes-192-cbc -v2prf hmacWithSHA224
pkcs8 pbes2-aes256-sha384.pem -v2 aes-256-cbc -v2prf hmacWithSHA384
pkcs8 pbes2-aes256-sha512.pem -v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 100000
pkcs8 pbes2-des3-sha256.pem -v2 des3
pkcs8 pbes2-aes256-scrypt.pem -scrypt
openssl pkcs8 -topk8 -in "$key" -passout pass: -out pbes2-empty-password.pem

# PEM, the key encrypted in ways that are refused by name.
pkcs8 pbes2-camellia.pem -v2 camellia-256-cbc
pkcs8 pbes2-many-iterations.pem -iter 10000001
pkcs8 pbes2-scrypt-much.pem -scrypt -scrypt_p 16
pkcs8 pbes2-rc2.pem -v2 rc2 $legacy
pkcs8 pbes1-md5-des.pem -v1 PBE-MD5-DES $legacy
pkcs8 pkcs12-des3.pem -v1 PBE-SHA1-3DES
openssl rsa -in "$key" -traditional -aes256 -passout "pass:$pass" -out dek-info.pem 2> /dev/null

# PKCS#12 by OpenSSL 3.
pfx() { # name, password, arguments
	out=$1
	secret=$2
	shift 2
	openssl pkcs12 -export -in cert.pem -inkey "$key" -passout "pass:$secret" -out "$out" "$@"
}
pfx openssl3-chain.p12 "$pass" -certfile shuffled.pem -name 'corpus'
pfx openssl3-empty-password.p12 ''
pfx openssl3-no-encryption.p12 '' -keypbe NONE -certpbe NONE -nomac
pfx openssl3-no-mac.p12 "$pass" -nomac
pfx openssl3-unicode-password.p12 'pässwörd-Ω-密码'
pfx openssl3-sha512.p12 "$pass" -macalg sha512 -keypbe aes-128-cbc -certpbe aes-192-cbc
# -twopass asks, at the terminal if there is one: for the password of the MAC
# and for that of the content.
printf '%s\n' "$pass" "$pass" other-password other-password |
	setsid -w openssl pkcs12 -export -twopass -in cert.pem -inkey "$key" -out refused-two-passwords.p12 2> /dev/null

# PKCS#12 by OpenSSL 1.1: RC2-40 for certificates, 3DES for keys, a SHA-1 MAC.
pfx openssl11.p12 "$pass" -legacy -macalg sha1
pfx openssl11-empty-password.p12 '' -legacy -macalg sha1
pfx openssl11-unicode-password.p12 'pässwörd-Ω-密码' -legacy -macalg sha1
pfx openssl11-rc2-128.p12 "$pass" -legacy -macalg sha1 -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128

# PKCS#12 as Windows asks for it: its attributes and its 2,000 iterations.
pfx windows-tripledes.p12 "$pass" -legacy -macalg sha1 -certpbe PBE-SHA1-3DES -iter 2000 -LMK -CSP 'Microsoft Enhanced Cryptographic Provider v1.0' -keyex -name 'te-0c0ffee0'
pfx windows-aes256.p12 "$pass" -iter 2000 -LMK -CSP 'Microsoft Software Key Storage Provider' -keyex -name 'te-0c0ffee0'

# PKCS#12 that is refused by name.
pfx openssl3-sha384.p12 "$pass" -macalg sha384
pfx refused-rc4.p12 "$pass" -legacy -macalg sha1 -keypbe PBE-SHA1-RC4-128
pfx refused-many-iterations.p12 "$pass" -iter 4000000
openssl pkcs12 -export -nokeys -in cert.pem -passout "pass:$pass" -out refused-no-key.p12

# keytool.
java() { # name, source, arguments
	out=$1
	from=$2
	shift 2
	keytool -importkeystore -noprompt -srckeystore "$from" -srcstorepass "$pass" -srcalias corpus \
		-destkeystore "$out" -deststoretype pkcs12 -deststorepass "$pass" "$@" 2> /dev/null
}
pfx "$tmp/leaf.p12" "$pass" -name corpus
java keytool.p12 openssl3-chain.p12
java keytool-legacy.p12 "$tmp/leaf.p12" -J-Dkeystore.pkcs12.legacy
java keytool-plain-certificates.p12 "$tmp/leaf.p12" -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE
java java-sha384.p12 "$tmp/leaf.p12" -J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithHmacSHA384AndAES_256
keytool -genkeypair -keystore keytool-own.p12 -storepass "$pass" -alias app -keyalg RSA -keysize 2048 \
	-dname 'CN=corpus keytool' -startdate '2020/01/01 00:00:00' -validity 36500 2> /dev/null
cp keytool-own.p12 refused-two-keys.p12
java refused-two-keys.p12 "$tmp/leaf.p12"
keytool -importcert -noprompt -file cert.pem -alias corpus -keystore refused.jks -storetype jks -storepass "$pass" 2> /dev/null

# Keys that Entra takes no certificates for.
ec ec-pkcs8.pem
openssl ec -in ec-pkcs8.pem -out ec-sec1.pem 2> /dev/null
openssl genpkey -algorithm ED25519 -out ed25519.pem
rsa rsa-pss.pem RSA-PSS
new ec-pkcs8.pem 'corpus EC' leaf_ext "$tmp/ec" -cert "$tmp/middle" -keyfile "$tmp/middle.key"
openssl pkcs12 -export -in "$tmp/ec" -inkey ec-pkcs8.pem -passout "pass:$pass" -out ec.p12

# Not PEM and not PKCS#12.
openssl x509 -in cert.pem -outform der -out cert.der
openssl crl2pkcs7 -nocrl -certfile cert.pem -out pkcs7.pem

chmod 644 -- *.*
chmod 755 make.sh
