"""Tiny ClickHouse-HTTP-protocol front for an in-process chdb engine (prototype)."""
import sys, re, json, threading, time, uuid, gzip, zlib, base64, urllib.parse, email.parser, email.policy
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
import chdb, zstandard, lz4.frame
import argparse
_ap=argparse.ArgumentParser(); _ap.add_argument('--port',type=int,required=True); _ap.add_argument('--data',required=True); _a,_=_ap.parse_known_args()
PATH=_a.data; PORT=_a.port
ROOT=chdb.connect(PATH)
TRANSPORT={'query','database','default_format','session_id','session_timeout','session_check','query_id','quota_key','compress','decompress','user','password','role','buffer_size','wait_end_of_query','client_protocol_version','send_progress_in_http_headers','http_headers_progress_interval_ms','enable_http_compression','cancel_http_readonly_queries_on_client_close'}
INS=re.compile(rb'^\s*INSERT\s+INTO\s', re.I); FMT=re.compile(rb'\bFORMAT\s+(\w+)[ \t]*\r?(\n|$|;)', re.I)
SELFMT=re.compile(r'\bFORMAT\s+(\w+)\s*;?\s*$', re.I); CODE=re.compile(r'Code:\s*(\d+)')
sessions={}; slock=threading.Lock()
def q(v): return "'"+v.replace('\\','\\\\').replace("'","\\'")+"'"
class H(BaseHTTPRequestHandler):
    protocol_version='HTTP/1.1'; wbufsize=1<<16
    def log_message(self,*a): pass
    def chunks(self):
        if 'chunked' in (self.headers.get('Transfer-Encoding') or '').lower():
            while True:
                n=int(self.rfile.readline().split(b';')[0],16)
                if n==0:
                    while self.rfile.readline().strip(): pass
                    return
                left=n
                while left:
                    d=self.rfile.read(min(left,1<<20)); left-=len(d); yield d
                self.rfile.readline()
        else:
            left=int(self.headers.get('Content-Length') or 0)
            while left:
                d=self.rfile.read(min(left,1<<20)); left-=len(d); yield d
    def body(self):
        enc=(self.headers.get('Content-Encoding') or '').lower()
        raw=self.chunks()
        if not enc: yield from raw; return
        if enc=='zstd':
            d=zstandard.ZstdDecompressor().decompressobj()
            for c in raw:
                while c:
                    yield d.decompress(c)
                    c=d.unused_data
                    if c: d=zstandard.ZstdDecompressor().decompressobj()
        elif enc=='lz4':
            d=lz4.frame.LZ4FrameDecompressor()
            for c in raw:
                yield d.decompress(c)
                while d.eof and d.unused_data:
                    u=d.unused_data; d=lz4.frame.LZ4FrameDecompressor(); yield d.decompress(u)
        else: 
            d=zlib.decompressobj(47)
            for c in raw: yield d.decompress(c)
    def send(self,code,data,hdr=()):
        if isinstance(data,str): data=data.encode()
        self.send_response(code)
        for k,v in hdr: self.send_header(k,v)
        self.send_header('Content-Length',str(len(data))); self.end_headers(); self.wfile.write(data); self.wfile.flush()
    def do_GET(self): self.handle_q()
    def do_POST(self): self.handle_q()
    def handle_q(self):
        u=urllib.parse.urlsplit(self.path); 
        if u.path=='/ping': return self.send(200,'Ok.\n')
        P=dict(urllib.parse.parse_qsl(u.query,keep_blank_values=True)); qid=P.get('query_id') or str(uuid.uuid4())
        conn=None; sid=P.get('session_id'); lock=None
        try:
            ct=self.headers.get('Content-Type') or ''
            it=self.body()
            if ct.startswith('multipart/form-data'):
                m=email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b'Content-Type: '+ct.encode()+b'\r\n\r\n'+b''.join(it))
                for part in m.iter_parts():
                    P[part.get_param('name',header='content-disposition')]=part.get_content() if part.get_content_maintype()=='text' else part.get_payload(decode=True).decode()
                it=iter(())
            if sid:
                with slock:
                    if sid not in sessions: sessions[sid]=(chdb.connect(PATH),threading.Lock())
                    conn,lock=sessions[sid]
                lock.acquire()
            else: conn=chdb.connect(PATH)
            if P.get('database'): conn.query('USE `'+P['database']+'`')
            st=[(k,v) for k,v in P.items() if k not in TRANSPORT and not k.startswith('param_')]
            if st: conn.query('SET '+', '.join(f'{k}={q(v)}' for k,v in st))
            params={k[6:]:v for k,v in P.items() if k.startswith('param_')}
            head=(P.get('query') or '').encode(); t0=time.time()
            first=b''
            if not INS.match(head) or not FMT.search(head):
                for c in it:
                    first+=c
                    s=(head+b'\n'+first) if head else first
                    if INS.match(s) and FMT.search(s): break
                else: pass
                s=(head+b'\n'+first).strip(b'\n') if head else first
            else: s=head+b'\n'
            m=FMT.search(s) if INS.match(s) else None
            hdr=[('X-ClickHouse-Query-Id',qid),('X-ClickHouse-Timezone','UTC'),('X-ClickHouse-Server-Display-Name','embedded')]
            if m and not re.search(rb'\)\s*SELECT\b|^\s*INSERT\s+INTO\s+[^()]*\sSELECT\s',s[:m.start()],re.I):
                rest=s[m.end():]; n=0
                ins=conn.send_insert(s[:m.start()].decode(), m.group(1).decode())
                try:
                    if rest: ins.append(rest)
                    for c in it:
                        if c: ins.append(c)
                    r=ins.finish()
                except BaseException: ins.close(); raise
                hdr.append(('X-ClickHouse-Summary',json.dumps({'written_rows':str(r.rows_written),'written_bytes':str(r.bytes_written),'read_rows':'0','read_bytes':'0','elapsed_ns':str(int((time.time()-t0)*1e9))})))
                return self.send(200,b'',hdr)
            first+=b''.join(it)
            s=(head+b'\n'+first).strip(b'\n') if head and first else (head or first)
            sql=s.decode('utf-8','surrogateescape'); mm=SELFMT.search(sql)
            fmt=mm.group(1) if mm else (self.headers.get('X-ClickHouse-Format') or P.get('default_format') or 'TabSeparated')
            r=conn.query(sql,fmt,params=params); data=r.bytes() if r.size() else b''
            hdr+=[('X-ClickHouse-Summary',json.dumps({'read_rows':str(r.rows_read()),'read_bytes':str(r.bytes_read()),'written_rows':str(r.rows_written()),'written_bytes':str(r.bytes_written()),'elapsed_ns':str(int((time.time()-t0)*1e9))}))]
            if re.match(r'\s*(\(*\s*(SELECT|WITH|SHOW|DESC|EXPLAIN|EXISTS|CHECK))\b',sql,re.I) or data: hdr+=[('X-ClickHouse-Format',fmt),('Content-Type','application/octet-stream')]
            if 'gzip' in (self.headers.get('Accept-Encoding') or '') and P.get('enable_http_compression')=='1' and len(data)>1<<16: pass
            self.send(200,data,hdr)
        except Exception as e:
            for _ in it: pass
            msg=str(e); c=CODE.search(msg); code=c.group(1) if c else '1002'
            self.send(404 if code in('60','81') else 500,msg+'\n',[('X-ClickHouse-Exception-Code',code)])
        finally:
            if lock: lock.release()
            elif conn: conn.close()
class S(ThreadingHTTPServer): daemon_threads=True; request_queue_size=128
S(('127.0.0.1',PORT),H).serve_forever()
